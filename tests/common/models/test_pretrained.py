"""The reference is torchvision's networks, names and forward, rewritten here in plain torch."""

from __future__ import annotations

import hashlib
import io
import os
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

from common.errors import ModelError, StorageError
from common.models.pretrained import find_pretrained, load_pretrained
from common.models.spec import NetworkSpec
from common.models.weights import flatten
from common.models.zoo import build


class Residual(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        outputs = planes * 4 if bottleneck else planes
        if bottleneck:
            shapes = [(inputs, planes, 1, 1), (planes, planes, 3, stride), (planes, outputs, 1, 1)]
        else:
            shapes = [(inputs, planes, 3, stride), (planes, planes, 3, 1)]
        for number, (a, b, size, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(b))
        self.count = len(shapes)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        for number in range(1, self.count + 1):
            x = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x))
            x = functional.relu(x) if number < self.count else x
        return functional.relu(x + shortcut)


class ReferenceResNet(nn.Module):
    def __init__(self, depths: list[int], *, bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, depth in enumerate(depths):
            planes, blocks = 64 * 2**stage, []
            for block in range(depth):
                blocks.append(
                    Residual(inputs, planes, 2 if stage and not block else 1, bottleneck=bottleneck)
                )
                inputs = planes * 4 if bottleneck else planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class ReferenceDenseLayer(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, 1, 1, bias=False)

    def forward(self, x):
        new = self.conv1(functional.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(functional.relu(self.norm2(new)))], dim=1)


class ReferenceDenseNet(nn.Module):
    def __init__(self, depths: list[int]) -> None:
        super().__init__()
        self.features = nn.Module()
        self.features.conv0 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.features.norm0 = nn.BatchNorm2d(64)
        channels, self.depths = 64, depths
        for stage, depth in enumerate(depths, start=1):
            block = nn.Module()
            for layer in range(1, depth + 1):
                setattr(block, f"denselayer{layer}", ReferenceDenseLayer(channels))
                channels += 32
            setattr(self.features, f"denseblock{stage}", block)
            if stage < len(depths):
                transition = nn.Module()
                transition.norm = nn.BatchNorm2d(channels)
                transition.conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
                setattr(self.features, f"transition{stage}", transition)
                channels //= 2
        self.features.norm5 = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, x):
        x = functional.relu(self.features.norm0(self.features.conv0(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        for stage, depth in enumerate(self.depths, start=1):
            block = getattr(self.features, f"denseblock{stage}")
            for layer in range(1, depth + 1):
                x = getattr(block, f"denselayer{layer}")(x)
            if stage < len(self.depths):
                transition = getattr(self.features, f"transition{stage}")
                x = functional.avg_pool2d(transition.conv(functional.relu(transition.norm(x))), 2)
        return self.classifier(functional.relu(self.features.norm5(x)).mean(dim=(2, 3)))


REFERENCES = {
    "resnet18": lambda: ReferenceResNet([2, 2, 2, 2], bottleneck=False),
    "resnet101": lambda: ReferenceResNet([3, 4, 23, 3], bottleneck=True),
    "resnet152": lambda: ReferenceResNet([3, 8, 36, 3], bottleneck=True),
    "densenet121": lambda: ReferenceDenseNet([6, 12, 24, 16]),
    "densenet201": lambda: ReferenceDenseNet([6, 12, 48, 32]),
}


def reference(family: str) -> nn.Module:
    """Torchvision's network with random weights and, so that they count, random running statistics."""
    torch.manual_seed(5)
    network = REFERENCES[family]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.3, 0.7)
            nn.init.uniform_(module.weight, 0.6, 0.9)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return network


def publish(state, family, folder):
    """Saves as torchvision does: the name ends in the first eight digits of the file's SHA-256."""
    content = io.BytesIO()
    torch.save(state, content)
    digits = hashlib.sha256(content.getvalue()).hexdigest()[:8]
    path = folder / f"{family}-{digits}.pth"
    path.write_bytes(content.getvalue())
    return path


def head_of(network: nn.Module) -> nn.Linear:
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def copy_class(published: nn.Module, ours: nn.Module, number: int) -> None:
    """Makes one of the 1000 classes our only one, so that whole logits can be compared."""
    with torch.no_grad():
        head_of(ours).weight.copy_(head_of(published).weight[number : number + 1])
        head_of(ours).bias.copy_(head_of(published).bias[number : number + 1])


DEEPEST = ("resnet152", "densenet201")


@pytest.mark.parametrize(
    "family",
    [
        *("resnet18", "resnet101", "densenet121"),
        *(pytest.param(family, marks=pytest.mark.slow) for family in DEEPEST),
    ],
)
def test_published_weights_give_torchvisions_logits(family, tmp_path):
    published = reference(family)
    path = publish(published.state_dict(), family, tmp_path)
    unlike = torch.tensor([0.1, 3.0]).reshape(2, 1, 1, 1)
    colour, grey = torch.rand(2, 3, 64, 64) * unlike, torch.rand(2, 1, 64, 64) * unlike
    views = [(1, grey, grey.expand(-1, 3, -1, -1)), (3, colour, colour)]
    # Of the deepest, grey alone, which is what CTs are
    for channels, ours_sees, torchvision_sees in views[: 1 if family in DEEPEST else 2]:
        spec = NetworkSpec(family, channels=channels)
        ours = build(spec).eval()
        load_pretrained(ours, spec, tmp_path if channels == 3 else path)
        copy_class(published, ours, 17)
        with torch.no_grad():
            expected = published(torchvision_sees)[:, 17]
            assert expected.std() > 1e-4
            torch.testing.assert_close(
                ours(ours_sees)[:, 0], expected, rtol=1e-4, atol=1e-4 * float(expected.std())
            )


def test_the_spelling_of_the_published_densenet_files_is_understood(tmp_path):
    # They were written when "norm.1" was a name, and before BatchNorm counted its batches.
    published = reference("densenet121")
    old = {
        name.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): value
        for name, value in published.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    spec = NetworkSpec("densenet121", channels=3)
    new_way, old_way = build(spec), build(spec)
    load_pretrained(new_way, spec, publish(published.state_dict(), "densenet121", tmp_path))
    load_pretrained(old_way, spec, publish(old, "densenet121", tmp_path))
    assert any("denselayer1.norm.1.weight" in name for name in old)
    assert flatten(new_way).tobytes() == flatten(old_way).tobytes()


def test_the_head_keeps_its_own_weights(tmp_path):
    spec = NetworkSpec("resnet18")
    network = build(spec, seed=3)
    head = head_of(network).weight.detach().clone()
    load_pretrained(network, spec, publish(reference("resnet18").state_dict(), "resnet18", tmp_path))
    assert torch.equal(head_of(network).weight, head)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("layer1.0.bn1.running_var"),
            r"1 tensor\(s\) differ, first layer1\.0\.bn1\.running_var",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "first extra"),
        (lambda state: state.update({"bn1.weight": torch.ones(65)}), r"first bn1\.weight"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused_and_changes_nothing(change, message, tmp_path):
    state = reference("resnet18").state_dict()
    change(state)
    spec = NetworkSpec("resnet18", channels=3)
    network = build(spec)
    before = flatten(network)
    with pytest.raises(ModelError, match=message):
        load_pretrained(network, spec, publish(state, "resnet18", tmp_path))
    assert flatten(network).tobytes() == before.tobytes()


def refused(path, match, error=ModelError):
    spec = NetworkSpec("resnet18")
    with torch.device("meta"):
        network = build(spec)
    with pytest.raises(error, match=match):
        load_pretrained(network, spec, path)


def test_an_altered_file_is_refused(tmp_path):
    path = publish({"a": torch.zeros(3)}, "resnet18", tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(path, "not that of its name")
    path.write_bytes(content[:-5])
    refused(path, "not that of its name")


class Payload:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_file_that_would_run_code_is_refused_though_its_name_fits(tmp_path, capsys):
    content = pickle.dumps({"conv1.weight": Payload()}, protocol=2)
    path = tmp_path / f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    refused(path, "no state dict")
    refused(publish({"conv1.weight": Payload()}, "resnet18", tmp_path / ".."), "no state dict")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("state", [[1, 2], {"a": 3}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(state, tmp_path):
    refused(publish(state, "resnet18", tmp_path), "no state dict of weights")


@pytest.mark.parametrize("content", [b"", b"not torch", b"PK\x03\x04 half an archive"])
def test_bytes_that_are_no_file_of_torch_are_refused(content, tmp_path):
    path = tmp_path / f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    refused(path, "no state dict of weights")


def test_files_are_found_by_torchvisions_names(tmp_path):
    for name in (
        "resnet18-0123abcd.pth",
        "resnet101-63fe2227.pth",
        "resnet18-0123ABCD.pth",
        "resnet18.pth",
        "x.txt",
    ):
        (tmp_path / name).touch()
    assert find_pretrained("resnet18", tmp_path).name == "resnet18-0123abcd.pth"
    assert find_pretrained("resnet101", tmp_path / "resnet101-63fe2227.pth").name == "resnet101-63fe2227.pth"
    with pytest.raises(ModelError, match="not named resnet18-XXXXXXXX"):
        find_pretrained("resnet18", tmp_path / "resnet101-63fe2227.pth")
    with pytest.raises(ModelError, match="holds no file densenet121"):
        find_pretrained("densenet121", tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        find_pretrained("densenet121", tmp_path / "densenet121-a639ec97.pth")
    (tmp_path / "resnet18-89abcdef.pth").touch()
    with pytest.raises(
        ModelError, match=r"several files for resnet18 \(resnet18-0123abcd.pth, resnet18-89abcdef"
    ):
        find_pretrained("resnet18", tmp_path)


def test_networks_without_published_weights_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no ImageNet weights for resnet10-narrow"):
        find_pretrained("resnet10-narrow", tmp_path)
    spec = NetworkSpec("resnet18", 3)
    with torch.device("meta"):
        network = build(spec)
    with pytest.raises(ModelError, match="in 3D"):
        load_pretrained(network, spec, tmp_path)


def test_an_unreadable_file_is_a_matter_of_storage(tmp_path, monkeypatch):
    path = publish({"a": torch.zeros(3)}, "resnet18", tmp_path)

    def break_off(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("common.models.pretrained.read_regular", break_off)
    refused(path, "cannot be read: Input/output error", StorageError)


def test_nobody_waits_for_a_pipe_among_the_published_files(tmp_path):
    path = tmp_path / "resnet18-01234567.pth"
    os.mkfifo(path)
    refused(tmp_path, "cannot be read: it is no file", StorageError)
