"""The public face: cheap to import, complete, annotated, documented."""

import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest
import tensorflow as tf

import quant
import tfres


def _run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_no_tensorflow():
    floor = ["settings", "table", "files", "yaml_file", "plots", "cli", "options", "machine", "errors", "recipe", "run"]
    modules = [f"tfres.{name}" for name in (*floor, "families", "families.recipes", "families.command_line", "tasks")]
    modules += ["tfres.train", "tfres.evaluate", "tfres.export", "tfres.objectives.options", "tfres.data.options"]
    code = "import importlib, sys, tfres, quant\n"
    code += f"for name in {modules}: importlib.import_module(name)\n"
    code += "loaded = {'tensorflow', 'tf_keras', 'keras', 'matplotlib'} & set(sys.modules)\nassert not loaded, loaded\n"
    _run(code)


def test_every_public_name_resolves():
    for package in (tfres, quant):
        assert set(package.__all__) and len(set(package.__all__)) == len(package.__all__)
        for name in package.__all__:
            assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tfres.nothing


def test_from_preset_gives_a_built_network():
    network = tfres.from_preset("resnet20", resolutions=[16, 8], widths=[4, 6], blocks=[1, 1], classes=3)
    assert network.built and network.weights
    assert network(tf.zeros([1, 8, 8, 3]), setting=8).shape == (1, 3)


def test_annotations_are_shipped():
    for package in (tfres, quant):
        assert (pathlib.Path(package.__file__).parent / "py.typed").is_file()
    configuration = pathlib.Path("setup.cfg").read_text(encoding="utf-8")
    assert "py.typed" in configuration.partition("[options.package_data]")[2].partition("[")[0]


def _modules():
    for package in (tfres, quant):
        yield package.__name__
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__") and info.name != "quant.tfmot_bridge":
                yield info.name


def _members(module):
    """`(name, function, where its override is documented)` of all public functions and methods that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value, ()
        elif inspect.isclass(value):
            yield name, value, ()
            for inner, member in vars(value).items():
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                ours = inspect.isfunction(function) and function.__module__ == module.__name__ and function.__name__ == inner
                if ours and (inner == "__init__" or not inner.startswith("_")):
                    yield f"{name}.{inner}", function, value.__mro__[1:]


def _documented(function, bases):
    """By itself, or by what it overrides; a constructor by its class."""
    name = function.__name__
    return bool(inspect.getdoc(function)) or name == "__init__" or any(getattr(base, name, None) is not None for base in bases)


def test_public_functions_are_annotated_and_documented():
    unannotated, undocumented = [], []
    for path in _modules():
        module = importlib.import_module(path)
        if not module.__doc__:
            undocumented.append(path)
        for name, value, bases in _members(module):
            if not _documented(value, bases):
                undocumented.append(f"{path}.{name}")
            if inspect.isclass(value) or getattr(value, "__qualname__", "").startswith("__create_fn__"):
                continue
            signature = inspect.signature(value)
            kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            wanted = [p for p in list(signature.parameters.values()) if p.kind not in kinds and p.name not in ("self", "cls")]
            missing = [p.name for p in wanted if p.annotation is inspect.Parameter.empty]
            generated = name.endswith(".__init__") and "__dataclass_fields__" in vars(getattr(module, name.split(".")[0]))
            if (missing or signature.return_annotation is inspect.Signature.empty) and not generated:
                unannotated.append(f"{path}.{name}")
    assert not undocumented + unannotated


def test_layers_and_networks_are_registered():
    """What is saved can be loaded: every public layer and network has a name of ours in Keras' registry."""
    from tfres.families import FAMILIES

    for family in FAMILIES.values():
        kind = family.network_class()
        assert tf.keras.saving.get_registered_name(kind).startswith("tfres>")
