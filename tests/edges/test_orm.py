"""An object-relational mapper that counts rows, beside the engine."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, FetchedValue, ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError

from tests.edges.acts import deletes, edits
from tests.edges.edge import check_peace
from tests.edges.house import House
from tests.edges.scene import Scene, make_scene

BOTH = True


class Base(DeclarativeBase):
    pass


class Project(Base):
    __tablename__ = "projects"
    guid: Mapped[str] = mapped_column(primary_key=True, default=lambda: str(uuid4()))
    id: Mapped[int | None]
    title: Mapped[str | None]
    tasks: Mapped[list[Task]] = relationship(back_populates="project", passive_deletes=False)


class Task(Base):
    __tablename__ = "tasks"
    guid: Mapped[str] = mapped_column(primary_key=True, server_default=FetchedValue())
    id: Mapped[int | None]
    title: Mapped[str | None]
    completed: Mapped[bool] = mapped_column(server_default=FetchedValue())
    color: Mapped[int | None]
    parent_guid: Mapped[str | None] = mapped_column(ForeignKey("projects.guid"))
    project: Mapped[Project | None] = relationship(back_populates="tasks")


@pytest.fixture
def scene(house: House) -> Iterator[Scene]:
    made = make_scene(house, {"top": {"kind": "project"}, "task": {"parent": "top"}, "other": {}})
    yield made
    made.close()


@pytest.fixture
def orm(scene: Scene) -> Iterator[Engine]:
    engine = create_engine(scene.world.url)
    yield engine
    engine.dispose()


def titles(scene: Scene) -> list[str]:
    return sorted(item.title for item in scene.model.items())


def test_insert_with_and_without_a_guid_and_read_what_came_of_it(scene: Scene, orm: Engine) -> None:
    with Session(orm) as session:
        project = Project(title="new project")
        project.tasks = [Task(title="one"), Task(title="two", completed=True)]
        session.add(project)
        session.commit()
        guids = [task.guid for task in project.tasks]
        assert all(len(guid) == 36 for guid in guids)
        assert project.id is None
        session.rollback()  # what was read is not held while hisync works
        scene.world.sync()
        session.refresh(project)
        assert {task.title: task.id is not None for task in project.tasks} == {
            "one": True,
            "two": True,
        }
    assert titles(scene) == ["new project", "one", "other", "task", "top", "two"]
    assert set(scene.changes()) == {"insert done"}
    check_peace(scene)


@pytest.mark.core
def test_update_and_delete_pass_the_row_count_check(scene: Scene, orm: Engine) -> None:
    with Session(orm) as session:
        for task in session.scalars(select(Task)):
            task.title = f"{task.title}!"
            task.completed = not task.completed
        session.delete(session.get_one(Task, scene.guid("other")))
        session.commit()
    scene.world.sync()
    assert titles(scene) == ["task!", "top"]
    assert sorted(scene.changes()) == ["delete done", "update done"]
    check_peace(scene)


def test_a_project_is_deleted_with_its_tasks_in_one_flush(scene: Scene, orm: Engine) -> None:
    """The mapper takes the children off the parent first, so they stay, at the top."""
    with Session(orm) as session:
        session.delete(session.get_one(Project, scene.guid("top")))
        session.commit()
    scene.world.sync()
    assert titles(scene) == ["other", "task"]
    assert scene.writes() == ["PUT task", "DELETE top"]
    check_peace(scene)


def test_a_move_by_relationship(scene: Scene, orm: Engine) -> None:
    with Session(orm) as session:
        new = Project(title="new")
        session.get_one(Task, scene.guid("task")).project = new
        session.add(new)
        session.commit()
    scene.world.sync()
    parent = scene.model.store.live[scene.need("task").parent]
    assert (parent.title, scene.writes()) == ("new", ["POST", "PUT task"])
    check_peace(scene)


def test_an_object_whose_row_left_meanwhile_is_stale_not_brought_back(
    scene: Scene, orm: Engine
) -> None:
    with Session(orm) as session:
        task = session.get_one(Task, scene.guid("other"))
        session.rollback()
        scene.act(deletes("other"))
        scene.world.sync()
        with pytest.raises(ObjectDeletedError):
            task.title = f"{task.title}?"
        session.rollback()
        task = session.get_one(Task, scene.guid("task"))
        session.expunge(task)
        scene.act(deletes("task"))
        scene.world.sync()
        session.add(task)
        task.title = "too late"
        with pytest.raises(StaleDataError):
            session.commit()
    assert (titles(scene), scene.changes()) == (["top"], [])
    check_peace(scene)


def test_what_hitask_changed_meanwhile_is_not_written_back(scene: Scene, orm: Engine) -> None:
    """The mapper writes changed columns only, so the pull between is not undone."""
    with Session(orm, expire_on_commit=False) as session:
        task = session.get_one(Task, scene.guid("task"))
        session.commit()
        scene.act(edits("task", title="theirs"))
        scene.world.sync()
        task.color = 4
        session.commit()
    scene.world.sync()
    assert (scene.need("task").title, scene.need("task").get("color")) == ("theirs", 4)
    check_peace(scene)


def test_bulk_statements_of_the_mapper(scene: Scene, orm: Engine) -> None:
    with Session(orm) as session:
        session.bulk_save_objects([Task(title=f"bulk {n}", color=n % 8) for n in range(12)])
        session.bulk_update_mappings(Task, [{"guid": scene.guid("task"), "title": "renamed"}])
        session.commit()
    scene.world.sync()
    assert len(titles(scene)) == 15
    assert scene.need("task").title == "renamed"
    check_peace(scene)
