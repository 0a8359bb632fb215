"""The reference script's option names, as synonyms of recipe fields."""

# Synonym -> (option, value); a value of None takes the next argument, `[]` all that follow up to the next option.
SYNONYMS = {
    "--arch": ("--model.arch", None),
    "--depth": ("--model.arch", "resnet{}"),
    "--mode": ("--model.mode", None),
    "--qw": ("--model.weight_bits", None),
    "--qa": ("--model.activation_bits", None),
    "--sizes": ("--model.resolutions", []),
    "--fixed-qa": ("--model.basis_update=largest", ""),
    "--data": ("--data.source", None),
    "--fake": ("--data.source=fake", ""),
    "--batch-size": ("--data.batch_size", None),
    "--lr": ("--training.learning_rate", None),
    "--learning-rate": ("--training.learning_rate", None),
    "--wd": ("--training.weight_decay", None),
    "--weight-decay": ("--training.weight_decay", None),
    "--momentum": ("--training.momentum", None),
    "--lr-decay": ("--training.schedule", None),
    "--schedule": ("--training.milestones", []),
    "--step": ("--training.step_epochs", None),
    "--gamma": ("--training.decay", None),
    "--warmup": ("--training.warmup_epochs=5", ""),
    "--kd": ("--training.kd=true", ""),
    "--kd-type": ("--training.kd_type", None),
    "--epochs": ("--training.epochs", None),
    "--engine": ("--training.engine", None),
    "--strategy": ("--training.strategy", None),
    "--seed": ("--training.seed", None),
    "--load": ("--training.load", None),
    "--init": ("--training.init", None),
    "--gpu": ("--training.devices", "[{}]"),
}
_LETTERS = {"-d": "--depth", "-s": "--sizes"}
HELP = "Synonyms: " + ", ".join(
    f"{name} = {target.removeprefix('--')}{'' if value is None or value in ('', []) else '=' + value.format('N')}"
    for name, (target, value) in SYNONYMS.items()
)


def expand(argv):
    """The command line with synonyms replaced by recipe fields, and the recipe file in front so that options win.

    Underscores and hyphens in names are the same (`--batch_size`, `--batch-size`).

    Example:
        >>> expand(["--qw", "2", "--sizes", "32", "24", "--kd", "--recipe", "x.yaml"])
        ['--recipe', 'x.yaml', '--model.weight_bits=2', '--model.resolutions=[32,24]', '--training.kd=true']
    """
    front, rest = [], []
    arguments = list(argv)
    while arguments:
        word, equals, value = arguments.pop(0).partition("=")
        name = _LETTERS.get(word, word)
        name = name.replace("_", "-") if "." not in name else name
        if name == "--recipe" and (equals or arguments):
            front += ["--recipe", value if equals else arguments.pop(0)]
        elif name not in SYNONYMS:
            rest.append(word + equals + value)
        else:
            rest.append(_replace(*SYNONYMS[name], [value] if equals else None, arguments))
    return front + rest


def _replace(option, form, given, arguments):
    if form == "":
        return option if given is None else f"{option.split('=')[0]}={given[0]}"
    if form == []:
        values = given or []
        while given is None and arguments and _is_value(arguments[0]):
            values.append(arguments.pop(0))
        return f"{option}=[{','.join(values)}]"
    if given is None and not (arguments and _is_value(arguments[0])):
        return option
    value = given[0] if given else arguments.pop(0)
    return f"{option}={form.format(value) if form else value}"


def _is_value(word):
    return not word.startswith("-") or word[1:].replace(".", "", 1).isdigit()
