"""Loss terms and gradients of one step, in three arrangements that give the same numbers."""

import tensorflow as tf

from quant import StepScope


def all_settings(network, crop, objective, batch, scale):
    """All settings in one forward and one backward pass.

    Args:
        network: with `trained_settings` and `trainable_variables`.
        crop: `MultiResolutionCrop`.
        objective: see `tfres.objectives`.
        batch: `(images, labels, draws)` of the pipeline.
        scale: function of the loss (loss scaling).

    Returns:
        `(terms, gradients, scope)`: name -> scalar; one gradient or None per trainable variable, of the scaled loss;
        the `StepScope` with the statistics.
    """
    images, labels, draws = batch
    own, shared = draws[:, : crop.draws], draws[0, crop.draws :]
    with StepScope() as scope, tf.GradientTape() as tape:
        terms = objective(network, crop(images, draws=own, training=True), labels, shared).terms
        loss = scale(tf.add_n(list(terms.values())))
    return terms, tape.gradient(loss, network.trainable_variables), scope


def one_setting_at_a_time(network, crop, objective, batch, scale):
    """The same with the peak memory of about one setting: a first forward pass without tape gives the logits, from them
    the loss and its gradient by each setting's logits, which a second pass through one setting after another carries back.
    """
    images, labels, draws = batch
    variables = network.trainable_variables
    crops = crop(images, draws=draws, training=True)

    def forward(setting, after):
        with tf.control_dependencies(after):  # or the graph would run the settings side by side
            mine = {setting.resolution: tf.identity(crops[setting.resolution])}
        return objective.logits(network, mine, setting)

    logits, last = {}, []
    with StepScope():  # the second pass records the statistics
        for setting in network.trained_settings:
            logits[str(setting)] = forward(setting, last)
            last = [logits[str(setting)]]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        terms = objective.outcome(network, logits, labels).terms
        loss = scale(tf.add_n(list(terms.values())))
    by_logits, total = tape.gradient(loss, (logits, variables))
    scopes, last = [], tf.nest.flatten(by_logits)
    for setting in network.trained_settings:
        with StepScope() as scope, tf.GradientTape() as tape:
            z = forward(setting, last)
        grads = tape.gradient(z, variables, output_gradients=by_logits[str(setting)])
        total = [_sum(t, g) for t, g in zip(total, grads, strict=True)]
        last = [t for t, g in zip(total, grads, strict=True) if g is not None]
        scopes.append(scope)
    return terms, total, StepScope.joined(scopes)


def accumulated(compute, batch, parts):
    """`compute(*part)` over equal parts of a batch, one after another; what so many replicas would give.

    Returns:
        means of terms and gradients, and a scope with the summed statistics.
    """
    if parts == 1:
        return compute(*batch)
    pieces = zip(*(tf.split(tensor, parts) for tensor in batch), strict=True)
    results, last = [], []
    for piece in pieces:
        with tf.control_dependencies(last):
            piece = [tf.identity(tensor) for tensor in piece]
        results.append(compute(*piece))
        last = [g for g in results[-1][1] if g is not None]
    all_terms, all_grads, scopes = zip(*results, strict=True)
    terms = {name: tf.add_n([terms[name] for terms in all_terms]) / parts for name in all_terms[0]}
    grads = [None if column[0] is None else tf.add_n(column) / parts for column in zip(*all_grads, strict=True)]
    return terms, grads, StepScope.merged(scopes)


def _sum(a, b):
    if a is None or b is None:
        return a if b is None else b
    return a + b
