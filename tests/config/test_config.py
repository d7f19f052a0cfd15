"""Configuration: presets, overrides, one sentence for every mistake."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.config import Config, changed, parse, read_toml, to_toml
from fokker.config.presets import assignment, combine, merge, methods, systems
from fokker.errors import FokkerError

OWN = {"system": {"trajectory": ["a.xtc"], "topology": "a.pdb", "temperature": 300.0}}
MANY = {"system": {"folder": "a", "temperature": 300.0}}
NEEDS = {"molecule": [OWN], "alpha-carbons": [OWN], "molecules": [MANY], "dipeptides": [MANY]}


@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("system", systems())
def test_every_pair_of_presets_is_a_configuration(system, method):
    config = parse(combine(system, method, NEEDS.get(system, [])), "presets")
    assert config.method == method
    again = parse(tomllib.loads(to_toml(config)), "config.toml")
    assert again == config


def test_steps_of_a_method_are_a_share_of_the_system_and_effort_multiplies():
    full = parse(combine("alanine-dipeptide", "fokker"), "")
    less = parse(combine("alanine-dipeptide", "fokker", effort=0.5), "")
    for a, b in zip(full.experts, less.experts, strict=True):
        assert b.training.steps == a.training.steps / 2
        assert a.training.steps % 250 == 0
    assert full.experts[0].training.steps > full.experts[1].training.steps


def test_what_a_system_changes_of_a_method_is_for_it_and_those_made_from_it():
    variant = {"name": "mine", "method": "fokker", "seed": 3}
    methods = "fokker", "rne", variant, "diffusion"
    ours, rne, mine, plain = (parse(combine("long-fold", m), "t").experts for m in methods)
    diffclf = ours[0].training.objectives["diffclf"]
    assert (diffclf.fraction, diffclf.weight) == (0.25, 1.0)
    assert set(rne[0].training.objectives) == {"dsm", "torsion", "rne"}
    assert mine == ours
    assert set(plain[0].training.objectives) == {"dsm"}
    whole = parse(
        combine(
            "long-fold", "fokker",
            [assignment("experts.0.training.objectives.diffclf.fraction=1.0")],
        ),
        "t",
    )  # fmt: skip
    assert whole.experts[0].training.objectives["diffclf"].fraction == 1.0


def test_a_variant_with_experts_of_its_own_has_nothing_of_what_a_system_says_of_others():
    expert = {"interval": [0.0, 1.0], "kind": "energy", "training": {"objectives": {"dsm": {}}}}
    variant = {"name": "mine", "method": "fokker", "experts": [expert], "refinement": {"steps": 0}}
    (own,) = parse(combine("alanine-dipeptide", variant), "t").experts
    assert set(own.training.objectives) == {"dsm"}
    assert own.training.rare == 0


@pytest.mark.parametrize("off", [{"experts.0.training.rare": 0}, {"refinement.lifetime": 0}])
def test_a_stage_that_is_switched_off_asks_for_nothing(off):
    changes = [assignment(f"{key}={value}") for key, value in off.items()]
    config = parse(
        combine("alanine-dipeptide", "fokker", [*changes, assignment("refinement.steps=0")]), "t"
    )
    assert config.n_stages == len(config.experts)


def test_a_section_is_changed_whatever_the_training_was():
    config = parse(combine("alanine-dipeptide", "fokker"), "t")
    values = config.simulation.model_dump(mode="json")
    assert changed(config, "simulation", {**values, "t": 0.15}).t == 0.15
    with pytest.raises(FokkerError, match=r"'simulation\.chians': did you"):
        changed(config, "simulation", {**values, "chians": 3})


def test_set_reaches_every_depth():
    changes = [
        assignment("experts.0.training.steps=7"),
        assignment("experts.0.network.width=9"),
        assignment("simulation.integrator.dt=0.004"),
        assignment("process.name=ve"),
        assignment("sampling.sampler.name=euler-maruyama"),
    ]
    config = parse(combine("alanine-dipeptide", "fokker", changes), "")
    assert config.experts[0].training.steps == 7
    assert config.experts[0].network.width == 9
    assert config.simulation.integrator.dt == 0.004
    assert config.process.name == "ve"
    assert config.sampling.sampler.name == "euler-maruyama"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sede=1", r"unknown key 'sede': did you mean 'seed'\?"),
        ("simulation.chians=3", "did you mean 'chains'"),
        ("experts.0.training.objectives.dsm.wieght=3", "did you mean 'weight'"),
        ("simulation.chains=many", "simulation.chains"),
        ("simulation.chains=0", "simulation.chains"),
        ("sampling.sampler.name=magic", "sampler"),
        ("experts.0.interval=[0.2, 0.1]", "increasing"),
        ("experts.0.interval=[0.0, 0.2]", "touch"),
        ("experts.9.interval=[0.0, 0.2]", "index from 0 to 2"),
        ("experts.0.kind=score", "diffclf needs kind"),
        ("system.temperature=-5", "temperature"),
        ("training.keep=last", "unknown key 'training': it belongs elsewhere"),
        ("refinement.lifetime=0", "set a lifetime"),
        ("experts.0.training.rare=0", "experts.0.training.rare, which is 0"),
    ],
)
def test_mistakes_get_one_sentence(change, message):
    with pytest.raises(FokkerError, match=message) as caught:
        parse(combine("alanine-dipeptide", "fokker", [assignment(change)]), "settings")
    assert "\n" not in str(caught.value)


def test_a_term_of_weight_zero_is_left_out():
    def terms(*changes: str) -> set[str]:
        made = combine("alanine-dipeptide", "fokker", [assignment(change) for change in changes])
        return set(parse(made, "").experts[0].training.objectives)

    where = "experts.0.training.objectives"
    assert terms() == {"dsm", "diffclf", "torsion"}
    assert terms(f"{where}.diffclf.weight=0") == {"dsm", "torsion"}
    with pytest.raises(FokkerError, match="every objective has weight 0"):
        terms(*(f"{where}.{name}.weight=0" for name in terms()))


@pytest.mark.parametrize("name", ["rne", "ctsm", "fitted"])
def test_methods_that_change_ours_differ_in_one_term(name):
    ours, other = (parse(combine("alanine-dipeptide", m), "") for m in ("fokker", name))
    assert other.experts[1:] == ours.experts[1:]
    terms = set(other.experts[0].training.objectives)
    assert terms == {"dsm", "torsion", name}
    same = {"objectives": ours.experts[0].training.objectives}
    assert other.experts[0].training.model_copy(update=same) == ours.experts[0].training


def test_unknown_presets_suggest_a_name():
    with pytest.raises(FokkerError, match="did you mean 'alanine-dipeptide'"):
        combine("alanine-dipeptid", "fokker")
    with pytest.raises(FokkerError, match="did you mean 'fokker'"):
        combine("alanine-dipeptide", "foker")
    with pytest.raises(FokkerError, match="fokker presets"):
        combine("../secrets", "fokker")


def test_assignment_needs_an_equals_sign():
    for text in ("seed", "=1", "a..b=1"):
        with pytest.raises(FokkerError, match="key=value"):
            assignment(text)


def test_merge_replaces_a_component_of_another_name():
    old = {"network": {"name": "mlp", "width": 3}}
    assert merge(old, {"network": {"name": "x"}}) == {"network": {"name": "x"}}
    assert merge(old, {"network": {"depth": 1}})["network"]["width"] == 3


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_toml_or_one_sentence(text, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        raw = read_toml(path)
        parse(merge(combine("mixture-1d", "diffusion"), raw), "any.toml")
    except FokkerError as error:
        assert "\n" not in str(error).strip()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Config.model_fields, "name", "weight"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(raw=st.dictionaries(st.sampled_from(list(Config.model_fields)), json_values, max_size=4))
def test_any_table_is_a_configuration_or_one_sentence(raw):
    try:
        parse(merge(combine("mixture-2d", "both"), raw), "table")
    except FokkerError as error:
        assert "\n" not in str(error)
