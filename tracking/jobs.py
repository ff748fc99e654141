"""The fold: journals into events, first times and tallies, each line exactly once; and judging old hits anew.

A hit waits until its window has passed, for only then is it known whether every link of the mail was followed. The
journals' offsets move in the transaction that writes the events, so a kill at any moment neither loses nor repeats.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from esp.app import App
from esp.ports.engagement import Hit, JournalMove, JudgedHit, Standing, Withdrawal
from tracking.journal import FOLDER, Chunk, folding, journals, read, remove_finished
from tracking.machines import RULES_VERSION, judge, lookback

log = structlog.get_logger("fold")

_LINES: Final = 2_000
#: A flood: more lines than this within one window are judged by what is known so far.
_MOST_LINES: Final = 128_000
#: A line from further ahead than this was written under a clock that has been set back since; it waits for nobody.
_AHEAD: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Portion:
    """What can be folded now. ``later`` are hits that have to wait, but tell about those that need not."""

    moves: tuple[JournalMove, ...]
    hits: tuple[Hit, ...]
    later: tuple[Hit, ...]
    withdrawals: tuple[Withdrawal, ...]
    more: bool


async def fold(app: App) -> bool:
    """Fold what is ready of this machine's journals; True where more is ready, so that it should run again at once."""
    folder = app.settings.server.data_dir / FOLDER
    paths = await asyncio.to_thread(journals, folder)
    if not paths:
        return False
    with folding(folder) as ours:
        return await _fold(app, await asyncio.to_thread(journals, folder)) if ours else False


async def _fold(app: App, paths: Sequence[Path]) -> bool:
    offsets = await app.store.engagement.offsets([path.name for path in paths])
    window = app.settings.tracking.scanner_window
    portion = await asyncio.to_thread(_portion, paths, offsets, app.clock.now(), window)
    if portion.moves:
        judged = await _judge(app, portion, window)
        if not await app.store.engagement.record(portion.moves, judged, portion.withdrawals):
            return True  # another process folded them: look where things stand now
        offsets.update({move.journal: move.new for move in portion.moves})
    gone = await asyncio.to_thread(_remove, paths, offsets)
    if gone:
        await app.store.engagement.forget(gone)
    return portion.more


async def keep_folding(app: App, stop: asyncio.Event) -> None:
    """Fold until ``stop``, wherever an edge runs: a journal lies on the disk of one machine, so the scheduler's lease,
    which only one node holds, must not decide about it. Two that fold the same files do no harm."""
    pause = app.settings.tracking.fold_every.total_seconds()
    while not stop.is_set():
        try:
            more = await fold(app)
        except Exception as problem:  # the lines stay where they are; the next time is soon
            more = False
            log.error("fold failed", exc_info=problem)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0 if more else pause)


def _portion(paths: Sequence[Path], offsets: dict[str, int], now: datetime, window: timedelta) -> Portion:
    """Read ahead until something is ready, or to the end: under a flood one window may hold very many lines."""
    lines = _LINES
    while True:
        chunks = [read(path, offsets[path.name], lines) for path in paths]
        portion = cut(chunks, now, window, forced=lines >= _MOST_LINES)
        if portion.moves or not portion.more:
            return portion
        lines *= 4


def cut(chunks: Sequence[Chunk], now: datetime, window: timedelta, *, forced: bool = False) -> Portion:
    """Split what was read into what is ready and what must wait.

    A hit is ready once everything up to one window after it has been read: all of it where the journal was read to
    its end, else up to its last line. ``forced`` takes all that was read, for a flood that no reading ahead can span.
    """
    horizon = now
    for chunk in chunks:
        last = next((entry.what.at for entry in reversed(chunk.entries) if entry.what), None)
        if not chunk.complete and last is not None:
            horizon = min(horizon, last)
    ready_until = now if forced else horizon - window
    moves: list[JournalMove] = []
    ready: list[Hit | Withdrawal] = []
    later: list[Hit | Withdrawal] = []
    more = False
    for chunk in chunks:
        taken = 0
        for entry in chunk.entries:
            at = entry.what.at if entry.what else now - window
            if ready_until < at <= now + _AHEAD:
                break
            taken += 1
        if taken:
            moves.append(JournalMove(chunk.journal, chunk.start, chunk.entries[taken - 1].end))
        ready += [entry.what for entry in chunk.entries[:taken] if entry.what]
        later += [entry.what for entry in chunk.entries[taken:] if entry.what]
        more = more or not chunk.complete
    return Portion(
        tuple(moves), tuple(_hits(ready)), tuple(_hits(later)),
        tuple(entry for entry in ready if isinstance(entry, Withdrawal)), more,
    )


def _hits(entries: Iterable[Hit | Withdrawal]) -> Iterable[Hit]:
    return (entry for entry in entries if isinstance(entry, Hit))


def _remove(paths: Sequence[Path], offsets: dict[str, int]) -> list[str]:
    return [path.name for path in paths if remove_finished(path, offsets[path.name])]


async def _judge(app: App, portion: Portion, window: timedelta) -> list[JudgedHit]:
    """The ready hits, each judged among all hits of its delivery that lie around it, folded before or still waiting."""
    if not portion.hits:
        return []
    since = min(hit.at for hit in portion.hits) - lookback(window)
    by_workspace: dict[int, dict[int, list[Hit]]] = defaultdict(lambda: defaultdict(list))
    for hit in portion.hits:
        by_workspace[hit.workspace_id][hit.delivery_id].append(hit)
    around: dict[int, list[Hit]] = defaultdict(list)
    for hit in portion.later:
        around[hit.delivery_id].append(hit)
    judged: list[JudgedHit] = []
    for workspace_id, of_delivery in by_workspace.items():
        ids = sorted(of_delivery)
        standings = await app.store.engagement.standings(workspace_id, ids)
        for hit in await app.store.engagement.hits(workspace_id, ids, since):
            around[hit.delivery_id].append(hit)
        # In a thread, so that the door keeps answering meanwhile.
        judged += await asyncio.to_thread(_judge_own, of_delivery, around, standings, window)
    return sorted(judged, key=lambda one: one.hit.at)


def _judge_own(
    of_delivery: Mapping[int, list[Hit]], around: Mapping[int, list[Hit]], standings: Mapping[int, Standing],
    window: timedelta,
) -> list[JudgedHit]:
    judged: list[JudgedHit] = []
    for delivery_id, own in of_delivery.items():
        standing = standings.get(delivery_id)
        # A token names all three ids, but what was erased since is counted nowhere.
        if standing is None or standing.campaign_id != own[0].campaign_id:
            continue
        mine = {id(hit) for hit in own}
        found = judge([*around.get(delivery_id, ()), *own], standing.delivered_at, standing.links, window)
        judged += [one for one in found if id(one.hit) in mine]
    return judged


async def reclassify(app: App, workspace_id: int, campaign_id: int, *, only_older: bool = True) -> int:
    """Judge all hits of a campaign by the rules of today; returns how many were judged anew.

    ``only_older`` leaves deliveries whose hits were all judged by this version; without it a changed scanner window,
    or a delivery time that was not known when a hit was folded, comes to bear too.
    """
    engagement = app.store.engagement
    window = app.settings.tracking.scanner_window
    after = count = 0
    while stored := await engagement.stored_hits(workspace_id, campaign_id, after, 500):
        of_delivery = defaultdict(list)
        for one in stored:
            of_delivery[one.hit.delivery_id].append(one)
        standings = await engagement.standings(workspace_id, sorted(of_delivery))
        judged: list[tuple[int, JudgedHit]] = []
        for delivery_id, own in of_delivery.items():
            if only_older and all(one.rules_version == RULES_VERSION for one in own):
                continue
            standing = standings[delivery_id]
            event_ids = {id(one.hit): one.event_id for one in own}
            found = judge([one.hit for one in own], standing.delivered_at, standing.links, window)
            judged += [(event_ids[id(one.hit)], one) for one in found]
        if not judged or await engagement.rejudge(workspace_id, campaign_id, judged):
            count += len(judged)
            after = max(of_delivery)
    return count
