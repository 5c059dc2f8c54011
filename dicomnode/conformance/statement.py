"""Put the conformance statement together."""

from importlib.resources import files
from string import Template

from dicomnode import __version__
from dicomnode.conformance import created, tables
from dicomnode.conformance.created import Made, make_objects
from dicomnode.queue.proving import AT_ONCE


def statement() -> str:
    """Return the statement in Markdown, by the settings as they come; the same on every machine."""
    return statement_of(make_objects())


def statement_of(made: tuple[Made, ...]) -> str:
    """Return the statement of a node that makes such objects: prose, in which every table has a place."""
    prose, values = _prose(), _values(made)
    if unplaced := values.keys() - set(prose.get_identifiers()):
        raise ValueError(f"the prose of the statement has no place for {', '.join(sorted(unplaced))}")
    return prose.substitute(values)


def _prose() -> Template:
    return Template(files("dicomnode.conformance").joinpath("statement.md").read_text(encoding="utf-8"))


def _values(made: tuple[Made, ...]) -> dict[str, str]:
    return {
        "version": __version__,
        "file_version": made[0].contents.implementation_version_name,
        "services": tables.services(made),
        "class_counts": tables.class_counts(),
        "accepting": tables.accepting(),
        "rejections": tables.rejections(),
        "syntaxes": tables.syntaxes(),
        "answered_statuses": tables.answered_statuses(),
        "made_classes": created.class_table(made),
        "requesting": tables.requesting(),
        "profiles": tables.profiles(),
        "proposals": tables.proposals(made),
        "peer_statuses": tables.peer_statuses(),
        "retries": tables.retries(),
        "commitment_contexts": tables.commitment_contexts(),
        "commitment_answers": tables.commitment_answers(),
        "commitment_reports": tables.commitment_reports(),
        "commitment_batch": str(AT_ONCE),
        "proof_contexts": tables.proof_contexts(),
        "asked": tables.asked(),
        "retrieving": tables.retrieving_policies(),
        "retrieval_statuses": tables.retrieval_statuses(),
        "parameters": tables.parameters(),
        "character_sets": tables.character_set_list(),
        "created": created.sections(made),
        "annotations": tables.annotations(),
        "private": str(sum(one.contents.private for one in made)),
        "categories": tables.categories(),
        "structures": tables.structures(),
        "codes": created.code_table(made),
        "templates": created.template_table(made),
        "extensions": created.extension_table(made),
        "classes": tables.classes(),
    }
