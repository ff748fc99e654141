"""The people behind a number: one query a metric, each along an index, by key."""

from typing import Any, Final

from sqlalchemy import Select, and_, select

from esp.adapters.sql.schema import contacts, deliveries, events
from esp.model.delivery import EventType
from esp.ports.reports import Metric, PeopleFilter

_STATES: Final = {
    Metric.WAITING: "queued", Metric.DELIVERED: "delivered", Metric.DEFERRED: "deferred", Metric.BOUNCED: "bounced",
    Metric.EXPIRED: "expired", Metric.SUPPRESSED: "suppressed", Metric.CANCELLED: "cancelled",
}
_MARKS: Final = {
    Metric.OPENED: "opened_at", Metric.CLICKED: "clicked_at", Metric.MACHINE_OPENED: "machine_opened_at",
    Metric.MACHINE_CLICKED: "machine_clicked_at", Metric.UNSUBSCRIBED: "unsubscribed_at",
    Metric.COMPLAINED: "complained_at",
}


def people_query(
    workspace_id: int, campaign_id: int, metric: Metric, part: PeopleFilter, after: int, limit: int
) -> Select[Any]:
    """Rows with ``key`` and ``happened_at``. The key is the delivery's id; for all of the audience the contact's id,
    along the index that keeps a contact from getting a campaign twice, so that no further index is needed for it."""
    d = deliveries.c
    key = d.contact_id if metric is Metric.TARGETED else d.id
    happened = d[_MARKS[metric]] if metric in _MARKS else d.created_at if metric is Metric.TARGETED else d.ended_at
    query = (
        select(key.label("key"), d.id, d.contact_id, d.address, d.provider, d.state, d.reason, d.reply,
               happened.label("happened_at"), contacts.c.public_id, contacts.c.first_name, contacts.c.last_name)
        .select_from(deliveries.outerjoin(
            contacts, and_(contacts.c.id == d.contact_id, contacts.c.workspace_id == d.workspace_id)
        ))
        .where(d.workspace_id == workspace_id, d.campaign_id == campaign_id, key > after)
        .order_by(key).limit(limit)
    )
    if metric in _STATES:
        query = query.where(d.state == _STATES[metric])
    elif metric in _MARKS:
        query = query.where(happened.is_not(None))
    if part.link_index is not None:
        query = query.where(d.id.in_(_clickers(workspace_id, campaign_id, metric, part.link_index, after, limit)))
    if part.provider:
        query = query.where(d.provider == part.provider)
    if part.variant_id is not None:
        query = query.where(d.variant_id == part.variant_id)
    if part.reason:
        query = query.where(d.reason == part.reason)
    return query


def _clickers(
    workspace_id: int, campaign_id: int, metric: Metric, link_index: int, after: int, limit: int
) -> Select[Any]:
    """Deliveries that clicked the link, from ``after`` on: people, or machines for ``machine_clicked``."""
    e = events.c
    by = e.agent != "human" if metric is Metric.MACHINE_CLICKED else e.agent == "human"
    query = select(e.delivery_id).where(
        e.campaign_id == campaign_id, e.type == EventType.CLICKED.value, e.link_index == link_index,
        e.workspace_id == workspace_id, by,
    )
    if metric is not Metric.TARGETED:
        query = query.where(e.delivery_id > after)
    return query.distinct().order_by(e.delivery_id).limit(limit) if metric in (
        Metric.CLICKED, Metric.MACHINE_CLICKED
    ) else query.distinct()
