"""Small values to fill the tables with, and a clock to set."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dicomnode.domain import (
    SEG_ONLY,
    Annotation,
    AnnotationKind,
    AssociationEnd,
    Exclusion,
    ImageFrame,
    ImageInstance,
    Instance,
    Job,
    JobOptions,
    ObjectKind,
    OtherInstance,
    Pair,
    PairingRule,
    Place,
    PlaneKey,
    PlaneSource,
    Reference,
    RegionFacts,
    SegType,
    StackImages,
    Uid,
)
from dicomnode.errors import Reason
from dicomnode.store import arrivals, associations, deliveries, jobs, runs
from dicomnode.store.arrivals import Arrival, Recorded
from dicomnode.store.database import Database
from dicomnode.store.deliveries import DeliveryKey, DeliveryRow
from dicomnode.store.desk import Desk
from dicomnode.store.jobs import Artifact, JobRow
from dicomnode.store.spool import Spool

STUDY = Uid("1.2")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def image(number: int = 1, digest: str = "aa") -> ImageInstance:
    place = Place(position=(0.1, -2.0, 1 / 3), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    return ImageInstance(
        sop_instance_uid=Uid(f"1.2.3.{number}"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.2"),
        series_uid=Uid("1.2.3"),
        study_uid=STUDY,
        digest=digest,
        path=Path("somewhere.dcm"),
        modality="CT",
        rows=4,
        columns=5,
        frame_of_reference_uid=Uid("1.2.9"),
        frames=(ImageFrame(number=None, place=place, spacing=(0.5, 0.25), tags={"EchoTime": 4.6, "KVP": "high"}),),
        tags={"AcquisitionNumber": 3.0},
        notes=("a note",),
    )


def annotation() -> Annotation:
    return Annotation(
        sop_instance_uid=Uid("1.2.4.1"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.481.3"),
        series_uid=Uid("1.2.4"),
        study_uid=STUDY,
        digest="bb",
        path=Path("drawn.dcm"),
        kind=AnnotationKind.RTSTRUCT,
        references=(Reference(PlaneKey(Uid("1.2.3.1")), 2), Reference(PlaneKey(Uid("1.2.3.2"), 7), 1)),
        samples=((0.5, -1.0, 2.25),),
        objects=(Uid("1.2.7.1"),),
        regions=(RegionFacts(item="2", what="ROI 2 'liver'", references=(Reference(PlaneKey(Uid("1.2.3.1")), 2),)),),
        referenced_series=(Uid("1.2.3"),),
        frames_of_reference=(Uid("1.2.9"),),
    )


def own_result() -> OtherInstance:
    return OtherInstance(
        sop_instance_uid=Uid("1.2.5.1"),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.66.4"),
        series_uid=Uid("1.2.5"),
        study_uid=STUDY,
        digest="cc",
        path=Path("ours.dcm"),
        exclusion=Exclusion(what="ours.dcm", reason=Reason.OWN_RESULT, detail="made here"),
    )


def receive(database: Database, *instances: Instance, association_id: int | None = None) -> list[Recorded]:
    number = association_id or associations.open_association(database, "PEER")
    found = []
    for instance in instances:
        key = f"{instance.sop_instance_uid}-{instance.digest}.dcm"
        found.append(
            arrivals.record(database, instance, Arrival(key=key, size=9, source_ae="PEER", association_id=number))
        )
    if association_id is None:
        associations.close_association(database, number, AssociationEnd.RELEASED)
    return found


def dispatch(
    database: Database, key: str = "j1", options: JobOptions | None = None, priority: int = 0
) -> tuple[str, ...] | None:
    return dispatch_to(desk_of(database), key, options, priority)


def dispatch_to(
    desk: Desk, key: str = "j1", options: JobOptions | None = None, priority: int = 0
) -> tuple[str, ...] | None:
    """Make a job of the study that arrived."""
    study = arrivals.study_of(desk.database, STUDY)
    assert study is not None
    stack = StackImages(
        key="1.2.3/1",
        series_uid=Uid("1.2.3"),
        study_uid=STUDY,
        modality="CT",
        frame_of_reference_uid=Uid("1.2.9"),
        planes=(PlaneSource(image(), image().frames[0]),),
        split=(("EchoTime", "4.6"),),
    )
    pair = Pair(annotation=annotation(), images=stack, rule=PairingRule.IMAGES, evidence="it names them")
    asked = options or JobOptions(roi="liver")
    job = Job(key=key, images=stack, annotation=annotation(), options=asked, elsewhere=("3",))
    return jobs.dispatch(desk, study, [(pair, job)], ("it was quiet", {}), lambda _job: priority)


def desk_of(database: Database, *destinations: str) -> Desk:
    """Return a desk without an engine, whose destinations want SEGs alone."""
    spool = Spool(database.path.parent / "spool")
    return Desk(database=database, spool=spool, destinations=dict.fromkeys(destinations, SEG_ONLY))


def claimed(database: Database, key: str = "j1") -> JobRow:
    """Claim a job that is ready."""
    row = runs.claim(database, key)
    assert row is not None
    return row


def claim_delivery(database: Database, destination: str = "pacs") -> DeliveryRow | None:
    """Claim what goes to `destination` next, None if nothing is due."""
    due = (row for row in deliveries.due(database) if row.destination == destination)
    return next((deliveries.claim(database, DeliveryKey(row.sop_uid, destination)) for row in due), None)


def ready_job(database: Database) -> None:
    receive(database, image(), annotation())
    assert dispatch(database) == ("j1",)


def artifact(
    sop_uid: str = "1.2.6.1",
    sha256: str = "dd",
    kind: ObjectKind = ObjectKind.SEG,
    alternative: SegType | None = SegType.BINARY,
) -> Artifact:
    return Artifact(
        kind=kind,
        sop_uid=Uid(sop_uid),
        sop_class_uid=Uid("1.2.840.10008.5.1.4.1.1.66.4"),
        key=f"outbox/{sop_uid}.dcm",
        sha256=sha256,
        alternative=alternative,
    )


def done_job(database: Database, *destinations: str, made: tuple[Artifact, ...] = ()) -> None:
    """Let the job be done with what it `made`, a SEG where nothing is said."""
    ready_job(database)
    complete_job(database, *destinations, made=made)


def complete_job(database: Database, *destinations: str, made: tuple[Artifact, ...] = ()) -> None:
    """Let the job that is ready be done."""
    desk = desk_of(database, *destinations)
    assert runs.complete(desk, claimed(database), made or (artifact(),), {"seconds": 1.5})
