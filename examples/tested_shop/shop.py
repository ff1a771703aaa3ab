"""A shop that counts what its users owe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, String, Table, text

if TYPE_CHECKING:
    from sqlalchemy import Engine


metadata = MetaData()
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(99), unique=True, nullable=False),
)
orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("user_id", Integer, ForeignKey("users.id"), index=True, nullable=False),
    Column("amount", Integer, CheckConstraint("amount > 0"), nullable=False),
)


def order(engine: Engine, number: int, user: str, amount: int) -> None:
    """Take an order; a user is made with the first one."""
    with engine.begin() as connection:
        found = connection.execute(text("SELECT id FROM users WHERE name = :user"), {"user": user}).scalar()
        if found is None:
            found = connection.execute(text("SELECT max(id) + 1 FROM users")).scalar_one()
            connection.execute(text("INSERT INTO users VALUES (:id, :user)"), {"id": found, "user": user})
        values = {"number": number, "user": found, "amount": amount}
        connection.execute(text("INSERT INTO orders VALUES (:number, :user, :amount)"), values)


def owed(engine: Engine) -> dict[str, int]:
    """Return what each user owes."""
    sql = "SELECT name, coalesce(sum(amount), 0) FROM users LEFT JOIN orders ON user_id = users.id GROUP BY name"
    with engine.connect() as connection:
        return {name: int(amount) for name, amount in connection.execute(text(sql))}
