import { ApplicationFailure } from '@temporalio/common';
import { afterEach, expect, test, vi } from 'vitest';
import type { ReplaySlice } from '../../contracts/replay.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  alone,
  blocked,
  details,
  HASH,
  progress,
  slice,
  stopAlone,
  untilCalled,
  update,
} from './support/replay-alone.ts';

vi.setConfig({ testTimeout: 60_000 });
afterEach(stopAlone);

test.each([
  ['hold', { actor: '' }, 'actor'],
  ['hold', { reason: ' ' }, 'reason'],
  ['release', { actor: 7 }, 'actor'],
  ['setRate', {}, 'ratePerSecond'],
  ['setRate', { ratePerSecond: 0 }, 'ratePerSecond'],
  ['setRate', { ratePerSecond: -1 }, 'ratePerSecond'],
  ['setRate', { ratePerSecond: 100_001 }, 'ratePerSecond'],
  ['setRate', { ratePerSecond: '7' }, 'ratePerSecond'],
  ['skip', {}, '0 selectors'],
  ['skip', { route: 'a', fingerprint: 'b' }, '2 selectors'],
  ['skip', { route: '' }, '"route" is empty'],
  ['skip', { ids: [] }, 'no list of ids'],
  ['skip', { ids: ['7'] }, 'no list of ids'],
  ['skip', { everything: true }, 'selects nothing'],
])('the update %s with %j is refused, and no event tells of it', async (name, given, word) => {
  const last = blocked<ReplaySlice>();
  const run = await alone(() => last.held);
  await untilCalled(run, 'slice');
  const before = (await run.handle.fetchHistory()).events?.length;
  await expect(update(run, name, given)).rejects.toMatchObject({
    cause: { type: 'update_refused', message: expect.stringContaining(word) },
  });
  expect((await run.handle.fetchHistory()).events?.length).toBe(before);
  last.let(slice(10, 'executed'));
  await run.handle.result();
  expect(run.names()).toEqual(['open', 'slice', 'close executed']);
});

test('what a person asks is written down in the order in which it came, and the answer is the progress', async () => {
  const last = blocked<ReplaySlice>();
  const run = await alone(() => last.held, {
    steerReplay: async ({ what, value }) => ({
      ...progress,
      ...(what === 'rate' ? (value as { ratePerSecond: number }) : {}),
      heldBy: what === 'hold' ? 'bo' : null,
      heldBecause: what === 'hold' ? 'lunch' : null,
    }),
  });
  await untilCalled(run, 'slice');
  const id = '018f0000-0000-7000-8000-000000000001';
  await Promise.all([
    update(run, 'setRate', { ratePerSecond: 7.5 }),
    update(run, 'skip', { ids: [id] }),
    update(run, 'hold', { reason: 'lunch' }),
  ]);
  const steered = run.calls.filter(({ activity }) => activity.startsWith('steer'));
  expect(steered).toHaveLength(3);
  expect(steered).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ what: 'rate', value: { ratePerSecond: 7.5 }, actor: 'bo' }),
      expect.objectContaining({ what: 'skip', value: { ids: [id] } }),
      expect.objectContaining({ what: 'hold', reason: 'lunch', planHash: HASH }),
    ]),
  );
  expect(await update(run, 'setRate', { ratePerSecond: null })).toMatchObject({ ratePerSecond: null });
  last.let(slice(10, 'executed'));
  await run.handle.result();
});

test('held by a person, it waits without a slice until it is released', async () => {
  const held = { heldBy: 'bo', heldBecause: 'lunch' };
  const run = await alone(async (_, nth) => (nth === 1 ? slice(3, 'held', held) : slice(10, 'executed')), {
    steerReplay: async () => ({ ...progress, resolved: 3, tries: 3 }),
  });
  await waitFor(async () => (await details(run)).includes('**Held** by bo: lunch'));
  expect(await run.handle.query('status')).toMatchObject({ resolved: 3, ...held });
  await update(run, 'setRate', { ratePerSecond: 1 });
  expect(run.names()).toEqual(['open', 'slice', 'steer rate']);
  await update(run, 'release');
  expect(await run.handle.result()).toMatchObject({ outcome: 'executed' });
  expect(run.names()).toEqual(['open', 'slice', 'steer rate', 'steer release', 'slice', 'close executed']);
});

test('a release that comes in while the slice still ends by the hold is not lost', async () => {
  const first = blocked<ReplaySlice>();
  const run = await alone(async (_, nth) => (nth === 1 ? first.held : slice(10, 'executed')));
  await untilCalled(run, 'slice');
  await update(run, 'release');
  first.let(slice(3, 'held', { heldBy: 'bo', heldBecause: 'lunch' }));
  expect(await run.handle.result()).toMatchObject({ outcome: 'executed' });
});

test('progress never goes back, even where an older answer comes in later', async () => {
  const first = blocked<ReplaySlice>();
  const second = blocked<ReplaySlice>();
  const run = await alone((_, nth) => (nth === 1 ? first.held : second.held), {
    steerReplay: async () => ({ ...progress, resolved: 6, tries: 6, ratePerSecond: 5 }),
  });
  await untilCalled(run, 'slice');
  await update(run, 'setRate', { ratePerSecond: 5 });
  first.let(slice(4, 'slice', { ratePerSecond: null }));
  await untilCalled(run, 'slice', 2);
  expect(await run.handle.query('status')).toMatchObject({ resolved: 6, ratePerSecond: 5 });
  second.let(slice(10, 'executed'));
  await run.handle.result();
});

test('cancelled, it asks the target to stop, lets the slice end by itself, and closes', async () => {
  const only = blocked<ReplaySlice>();
  const run = await alone(() => only.held, {
    steerReplay: async ({ what }) => {
      if (what === 'cancel') only.let(slice(4, 'cancelled'));
      return progress;
    },
    closeReplay: async () => ({ ...progress, state: 'cancelled', resolved: 4, tries: 4 }),
  });
  await untilCalled(run, 'slice');
  await run.handle.cancel();
  await expect(run.handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect((await run.handle.describe()).status.name).toBe('CANCELLED');
  expect(run.names()).toEqual(['open', 'slice', 'steer cancel', 'close cancelled']);
  expect(await run.handle.query('status')).toMatchObject({ state: 'cancelled', resolved: 4 });
  expect(await details(run)).toContain('**cancelled; the rest stays open');
});

test('cancelled while it is held, it has what is in flight settled by one more slice', async () => {
  const held = { heldBy: 'bo', heldBecause: 'lunch' };
  const run = await alone(async (_, nth) => (nth === 1 ? slice(3, 'held', held) : slice(3, 'cancelled')));
  await waitFor(async () => (await details(run)).includes('**Held** by bo'));
  await run.handle.cancel();
  await expect(run.handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect(run.names()).toEqual(['open', 'slice', 'steer cancel', 'slice', 'close cancelled']);
});

test('a cancellation that comes too late does not undo that the plan is executed', async () => {
  const only = blocked<ReplaySlice>();
  const run = await alone(() => only.held, {
    steerReplay: async () => {
      only.let(slice(10, 'executed'));
      return progress;
    },
  });
  await untilCalled(run, 'slice');
  await run.handle.cancel();
  expect(await run.handle.result()).toMatchObject({ outcome: 'executed' });
});

test('an update of a plan that cannot be opened fails, and so does the run', async () => {
  const opening = blocked<undefined>();
  const run = await alone(async () => slice(10, 'executed'), {
    openReplay: async () => {
      await opening.held;
      throw ApplicationFailure.nonRetryable('the plan is stale', 'replay_stale');
    },
  });
  await untilCalled(run, 'open');
  const refused = update(run, 'hold').catch((error: unknown) => error);
  await waitFor(async () => {
    const { events } = await run.handle.fetchHistory();
    return events?.some((event) => event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest);
  });
  opening.let(undefined);
  expect(await refused).toMatchObject({ cause: { type: 'update_refused' } });
  await expect(run.handle.result()).rejects.toMatchObject({ cause: { type: 'replay_stale' } });
  expect(run.names()).toEqual(['open']);
});
