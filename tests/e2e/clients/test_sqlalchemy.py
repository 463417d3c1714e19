"""SQLAlchemy over three drivers, and Alembic: reflection, the ORM, migrations up and down, and what it would generate."""

import datetime
import decimal
import enum
import re
import uuid

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

pytestmark = [
    pytest.mark.filterwarnings("ignore:Did not recognize type"),  # of a few columns of the table kinds, direct as well
    pytest.mark.filterwarnings("ignore:Type object .*DOMAIN"),
]
DRIVERS = ["psycopg", "psycopg2", "pg8000"]
REVISION = '''
"""{text}"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
revision, down_revision = {revision!r}, {before!r}
def upgrade():
    {up}
def downgrade():
    {down}
'''
ENVIRONMENT = """
from alembic import context
context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
REVISIONS = [
    (
        "books",
        "op.create_table('books', sa.Column('id', sa.Integer, primary_key=True), sa.Column('title', sa.Text, nullable=False),"
        " sa.Column('genre', pg.ENUM('fiction', 'fact', name='genre')), sa.Column('extra', pg.JSONB, server_default='{}'))",
        "op.drop_table('books'); op.execute('DROP TYPE genre')",
    ),
    (
        "more columns",
        "op.add_column('books', sa.Column('price', sa.Numeric(8, 2), server_default='1.50')); op.create_index('by_title', 'books', ['title'], unique=True);"
        " op.bulk_insert(sa.table('books', sa.column('title', sa.Text)), [{'title': 'one'}, {'title': 'two'}])",
        "op.drop_index('by_title'); op.drop_column('books', 'price'); op.execute('DELETE FROM books')",
    ),
    (
        "not in a transaction",
        "exec('with op.get_context().autocommit_block(): op.execute(\"CREATE INDEX CONCURRENTLY by_price ON books (price)\")');"
        " op.alter_column('books', 'title', type_=sa.String(200)); op.create_check_constraint('positive_price', 'books', 'price > 0')",
        "op.drop_constraint('positive_price', 'books'); op.alter_column('books', 'title', type_=sa.Text()); op.drop_index('by_price')",
    ),
]


class Base(orm.DeclarativeBase):
    """What the tests map."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Author(Base):
    __tablename__ = "authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(60), unique=True)
    born: orm.Mapped[datetime.date | None]
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan", order_by="Book.id")


class Book(Base):
    __tablename__ = "works"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(start=10), primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("authors.id", ondelete="CASCADE"), index=True)
    title: orm.Mapped[str]
    price: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Numeric(8, 2), server_default="9.99")
    colour: orm.Mapped[Colour | None]
    tags: orm.Mapped[list[str]] = orm.mapped_column(pg.ARRAY(sa.Text), default=list)
    extra: orm.Mapped[dict] = orm.mapped_column(pg.JSONB, default=dict)
    token: orm.Mapped[uuid.UUID | None]
    seen: orm.Mapped[datetime.datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    __table_args__ = (sa.CheckConstraint("price > 0", name="price_is_positive"),)


def engine_of(address, driver="psycopg"):
    return sa.create_engine(address.uri.replace("postgresql:", f"postgresql+{driver}:"), poolclass=sa.NullPool)


@pytest.fixture
def talk(twins):
    """Hold a dialogue over an engine, direct and through the gateway."""

    def hold(dialogue, driver="psycopg", opaque=False):
        def with_engine(address):
            engine = engine_of(address, driver)
            try:
                return dialogue(engine)
            finally:
                engine.dispose()

        return twins.same(with_engine, opaque=opaque)

    return hold


@pytest.mark.parametrize("driver", DRIVERS)
def test_reflection(talk, driver):
    def dialogue(engine):
        inspector = sa.inspect(engine)
        found = {
            "schemas": inspector.get_schema_names(),
            "tables": sorted(inspector.get_table_names()),
            "views": sorted(inspector.get_view_names()),
            "materialized": inspector.get_materialized_view_names(),
            "sequences": sorted(inspector.get_sequence_names()),
            "enums": inspector.get_enums(),
            "domains": inspector.get_domains(),
            "definition": inspector.get_view_definition("big_items"),
        }
        for how in (
            "columns",
            "indexes",
            "unique_constraints",
            "foreign_keys",
            "check_constraints",
            "pk_constraint",
            "table_comment",
        ):
            multi = getattr(inspector, f"get_multi_{how}")(kind=sa.engine.reflection.ObjectKind.ANY)
            found[how] = sorted((key, repr(value)) for key, value in multi.items())
        metadata = sa.MetaData()
        metadata.reflect(engine, views=True)
        found["reflected"] = {
            table.name: [(c.name, repr(c.type), c.nullable) for c in table.columns] for table in metadata.sorted_tables
        }
        return found

    found = talk(dialogue, driver)
    assert "item_totals" in found["materialized"]
    assert found["enums"][0]["labels"] == ["sad", "ok", "happy"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_orm(talk, driver):
    def dialogue(engine):
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        found = []
        try:
            with orm.Session(engine) as session:
                for i in range(12):
                    books = [
                        Book(
                            title=f"book {i}.{j}",
                            colour=Colour.RED if j % 2 else None,
                            tags=["a", f"t{j}"],
                            extra={"n": j},
                            token=uuid.UUID(int=i * 10 + j),
                        )
                        for j in range(3)
                    ]
                    session.add(Author(name=f"author {i}", born=datetime.date(1900 + i, 1, 1), books=books))
                session.commit()
                author = session.scalars(
                    sa.select(Author).where(Author.name == "author 3").options(orm.selectinload(Author.books))
                ).one()
                found.append([(b.id, b.title, b.price, b.colour, b.tags, b.extra, b.token) for b in author.books])
                author.books[0].title = "changed"
                author.books.pop()
                session.flush()
                found.append(tuple(session.execute(sa.select(sa.func.count(), sa.func.sum(Book.price)).select_from(Book)).one()))
                with session.begin_nested() as savepoint:
                    session.add(Book(author=author, title="gone"))
                    session.flush()
                    savepoint.rollback()
                try:
                    with session.begin_nested():
                        session.execute(sa.insert(Author).values(name="author 4"))
                except DBAPIError as error:
                    found.append(
                        (type(error).__name__, str(error.orig).splitlines()[0] if driver != "pg8000" else error.orig.args[0]["C"])
                    )
                session.commit()
                found.append(session.scalars(sa.select(Book.title).where(Book.author_id == author.id).order_by(Book.id)).all())
                session.execute(
                    sa.update(Book)
                    .where(Book.tags.contains(["t1"]))
                    .values(price=Book.price * 2, seen=sa.text("'2024-01-01 00:00+00'"))
                )
                upsert = pg.insert(Author).values([{"name": "author 5"}, {"name": "new"}])
                upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"born": datetime.date(2000, 1, 1)}).returning(
                    Author.name, Author.born
                )
                found.append(sorted(map(tuple, session.execute(upsert).all())))
                ranked = sa.select(
                    Book.title, sa.func.row_number().over(partition_by=Book.colour, order_by=Book.id).label("rank")
                ).subquery()
                found.append(
                    [tuple(row) for row in session.execute(sa.select(ranked).where(ranked.c.rank < 3).order_by(ranked.c.title))]
                )
                found.append(session.scalars(sa.select(Book.extra["n"].as_integer()).order_by(Book.id).limit(4)).all())
                found.append(
                    session.execute(sa.delete(Author).where(Author.born < datetime.date(1905, 1, 1)).returning(Author.name))
                    .scalars()
                    .all()
                )
                session.rollback()
                session.delete(session.get(Author, author.id))
                session.commit()
                found.append(session.scalar(sa.select(sa.func.count()).select_from(Book)))
        finally:
            Base.metadata.drop_all(engine)
        return found

    found = talk(dialogue, driver)
    assert found[0][0][:2] == (19, "book 3.0")
    assert found[-1] == 33


@pytest.mark.parametrize("driver", DRIVERS)
def test_core_and_server_side_results(talk, driver):
    def dialogue(engine):
        metadata = sa.MetaData()
        items = sa.Table("items", metadata, autoload_with=engine)
        many = sa.Table("many", metadata, autoload_with=engine)
        found = []
        with engine.connect() as connection:
            found.append(
                [
                    tuple(row)
                    for row in connection.execute(
                        sa.select(items.c.id, items.c.label).where(items.c.size > 45).order_by(items.c.id)
                    )
                ]
            )
            streamed = connection.execute(
                sa.select(many).order_by(many.c.id), execution_options={"stream_results": True, "yield_per": 400}
            )
            found.append(sum(row.id for row in streamed))
            found.append(connection.execute(sa.insert(items), [{"label": f"bulk {i}"} for i in range(60)]).rowcount)
            inserted = connection.execute(
                sa.insert(items).returning(items.c.label, sort_by_parameter_order=True), [{"label": f"back {i}"} for i in range(30)]
            )
            found.append(inserted.scalars().all())
            found.append(tuple(connection.execute(sa.text("SELECT :a + 1, :b"), {"a": 1, "b": "x"}).one()))
            connection.rollback()
            found.append(connection.scalar(sa.select(sa.func.count()).select_from(items)))
            connection.rollback()
            with connection.execution_options(isolation_level="SERIALIZABLE").begin():
                found.append(connection.scalar(sa.text("SHOW transaction_isolation")))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM items"))
            found.append(connection.get_isolation_level())
        return found

    found = talk(dialogue, driver)
    assert found[0][0] == (46, "item 46")
    assert found[5] == 50


def test_asyncio_with_asyncpg(twins):
    async def dialogue(address):
        engine = create_async_engine(address.uri.replace("postgresql:", "postgresql+asyncpg:"), poolclass=sa.NullPool)
        found = []
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
                found.append(sorted(await connection.run_sync(lambda c: sa.inspect(c).get_table_names())))
            async with AsyncSession(engine, expire_on_commit=False) as session:
                author = Author(name="async", books=[Book(title="b", colour=Colour.BLUE, tags=["x"], extra={"a": None})])
                session.add(author)
                await session.commit()
                found.append([(b.id, b.colour, b.tags, b.extra) for b in author.books])
                result = await session.stream_scalars(sa.text("SELECT id FROM many ORDER BY id"))
                found.append(sum([value async for value in result]))
                try:
                    await session.execute(sa.insert(Author).values(name="async"))
                except DBAPIError as error:
                    found.append((type(error).__name__, error.orig.sqlstate, str(error.orig)))
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.drop_all)
        finally:
            await engine.dispose()
        return found

    assert twins.same(dialogue)[1] == [(10, Colour.BLUE, ["x"], {"a": None})]


def migrations(folder):
    (folder / "versions").mkdir()
    (folder / "env.py").write_text(ENVIRONMENT)
    (folder / "script.py.mako").write_text("")
    before = None
    for number, (text, up, down) in enumerate(REVISIONS, 1):
        (folder / "versions" / f"{number}.py").write_text(
            REVISION.format(text=text, revision=f"r{number}", before=before, up=up, down=down)
        )
        before = f"r{number}"
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def test_migrations_up_and_down(talk, tmp_path):
    config = migrations(tmp_path)

    def look(engine):
        inspector = sa.inspect(engine)
        if "books" not in inspector.get_table_names():
            return sorted(inspector.get_table_names())
        return (
            [(c["name"], repr(c["type"]), c["default"]) for c in inspector.get_columns("books")],
            sorted(i["name"] for i in inspector.get_indexes("books")),
            inspector.get_check_constraints("books"),
        )

    def dialogue(engine):
        found = []
        for step, where in (
            (command.upgrade, "r1"),
            (command.upgrade, "head"),
            (command.downgrade, "r1"),
            (command.upgrade, "+1"),
            (command.downgrade, "base"),
        ):
            with engine.connect() as connection:
                config.attributes["connection"] = connection
                step(config, where)
                found.append((where, MigrationContext.configure(connection).get_current_revision(), look(engine)))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE alembic_version"))
        return found

    found = talk(dialogue)
    assert [revision for _, revision, _ in found] == ["r1", "r3", "r1", "r2", None]
    assert found[1][2][1] == ["by_price", "by_title"]


def test_what_alembic_would_generate(talk):
    def dialogue(engine):
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
            code = render_python_code(produce_migrations(context, Base.metadata).upgrade_ops)
            connection.rollback()
        Base.metadata.create_all(engine)
        try:
            with engine.begin() as connection:
                connection.execute(
                    sa.text("ALTER TABLE works DROP COLUMN token, ADD COLUMN other int, ALTER price TYPE numeric(9, 3)")
                )
                connection.execute(sa.text("DROP INDEX ix_works_author_id"))
                context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
                changes = [re.sub(r" at 0x\w+", "", repr(change)) for change in compare_metadata(context, Base.metadata)]
                mine = [change for change in changes if "works" in change]
        finally:
            Base.metadata.drop_all(engine)
        return code, mine

    code, mine = talk(dialogue)
    assert "op.create_table('authors'" in code
    assert any("add_column" in change for change in mine)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_masked_table_is_masked(twins, driver):
    def dialogue(address):
        engine = engine_of(address, driver)
        try:
            secrets = sa.Table("secrets", sa.MetaData(), autoload_with=engine)
            with engine.connect() as connection:
                rows = connection.execute(sa.select(secrets).order_by(secrets.c.id)).all()
                rows += (
                    connection.execution_options(stream_results=True)
                    .execute(sa.select(secrets.c.ssn.label("x")).order_by(secrets.c.id))
                    .all()
                )
                return [tuple(row) for row in rows]
        finally:
            engine.dispose()

    direct, through = twins.both(dialogue)
    assert direct[0] == (1, "123-45-6781", 1001, "write to ann@example.com")
    assert through == [
        (1, "***-**-6781", None, "write to [redacted]"),
        (2, "***-**-6782", None, "nothing here"),
        ("***-**-6781",),
        ("***-**-6782",),
    ]
