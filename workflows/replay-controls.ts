import { CancellationScope, condition, defineQuery, defineUpdate, setHandler } from '@temporalio/workflow';
import { STATUS_QUERY } from '../contracts/control.ts';
import {
  REPLAY_UPDATES,
  type ReplayControl,
  type ReplayProgress,
  type ReplaySetRate,
  type ReplaySkip,
  type SteerReplayInput,
} from '../contracts/replay.ts';
import { explain, fail } from './fail.ts';
import { replayActivities, told } from './replay-activities.ts';
import type { ReplayState } from './replay-state.ts';

/** Letters per second that nobody means. */
const HIGHEST_RATE = 100_000;
/** Letters that one `skip` may name: its input is part of the history. */
const MOST_IDS = 10_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const statusQuery = defineQuery<ReplayProgress>(STATUS_QUERY);
const holdUpdate = defineUpdate<ReplayProgress, [ReplayControl]>(REPLAY_UPDATES.hold);
const releaseUpdate = defineUpdate<ReplayProgress, [ReplayControl]>(REPLAY_UPDATES.release);
const skipUpdate = defineUpdate<ReplayProgress, [ReplaySkip]>(REPLAY_UPDATES.skip);
const setRateUpdate = defineUpdate<ReplayProgress, [ReplaySetRate]>(REPLAY_UPDATES.setRate);

export interface ReplayControls {
  /** Asks the run to stop: it settles what is in flight and tries nothing further. */
  cancel(): Promise<ReplayProgress>;
}

type Steering = Pick<SteerReplayInput, 'what' | 'actor' | 'reason' | 'value'>;

/**
 * Installs updates and the status query. Each update is written into the target, one after the other, and answers with
 * the progress that it found there. Validators are synchronous; a refusal is never part of history.
 */
export function installReplayControls(state: ReplayState): ReplayControls {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
  const steer = ({ what, actor, reason, value }: Steering): Promise<ReplayProgress> =>
    CancellationScope.nonCancellable(() =>
      inTurn(async () => {
        await condition(() => state.planHash !== null || state.isEnding);
        const { planHash, runId } = state;
        if (planHash === null) throw fail('update_refused', 'The replay could not be opened.');
        const { target } = state.input;
        const asked = { target, planHash, runId, what, actor, reason };
        try {
          const progress = await replayActivities.steerReplay.executeWithOptions(
            told(`${what}, by ${actor}`),
            [value === undefined ? asked : { ...asked, value }],
          );
          state.afterSteering(progress, what === 'release');
          return progress;
        } catch (error) {
          const { type, message } = explain(error);
          throw fail(type, message);
        }
      }),
    );
  setHandler(statusQuery, () => state.progress);
  setHandler(holdUpdate, ({ actor, reason }) => steer({ what: 'hold', actor, reason }), {
    validator: (control) => validateControl(state, control),
    description: 'Stops it after the batch at work, until it is released.',
  });
  setHandler(releaseUpdate, ({ actor, reason }) => steer({ what: 'release', actor, reason }), {
    validator: (control) => validateControl(state, control),
    description: 'Lets a held replay go on.',
  });
  setHandler(skipUpdate, ({ actor, reason, ...value }) => steer({ what: 'skip', actor, reason, value }), {
    validator: (control) => validateSkip(state, control),
    description: 'Leaves letters of a route, of a fingerprint or by their ids alone; they stay open.',
  });
  setHandler(
    setRateUpdate,
    ({ actor, reason, ratePerSecond }) => steer({ what: 'rate', actor, reason, value: { ratePerSecond } }),
    {
      validator: (control) => validateRate(state, control),
      description: 'Sets how many letters are tried per second; null: as fast as it goes.',
    },
  );
  return {
    cancel: () => steer({ what: 'cancel', actor: 'temporal', reason: 'The workflow was cancelled.' }),
  };
}

function validateControl(state: ReplayState, control: ReplayControl | undefined): void {
  for (const field of ['actor', 'reason'] as const) {
    const value = control?.[field];
    if (typeof value !== 'string' || value.trim() === '')
      refuse(`"${field}" is missing or empty`, 'an object {"actor": "…", "reason": "…"}');
  }
  if (state.isEnding) refuse('The replay has ended', 'a replay that runs');
}

function validateRate(state: ReplayState, control: ReplaySetRate): void {
  validateControl(state, control);
  const { ratePerSecond: rate } = control;
  if (rate === null) return;
  if (typeof rate !== 'number' || !(rate > 0 && rate <= HIGHEST_RATE))
    refuse(
      `"ratePerSecond" is ${JSON.stringify(rate) ?? 'missing'}`,
      `letters per second, more than 0 and at most ${HIGHEST_RATE}, or null for as fast as it goes`,
    );
}

function validateSkip(state: ReplayState, control: ReplaySkip): void {
  validateControl(state, control);
  const { actor: _, reason: __, ...selectors } = control;
  const [only, ...others] = Object.entries(selectors);
  if (only === undefined || others.length > 0)
    refuse(
      `${Object.keys(selectors).length} selectors are given`,
      'exactly one of "route", "fingerprint" and "ids"',
    );
  const [name, value] = only;
  if (name === 'route' || name === 'fingerprint') {
    if (typeof value !== 'string' || value.trim() === '') refuse(`"${name}" is empty`, 'a text');
  } else if (name === 'ids') {
    const isList = Array.isArray(value) && value.length > 0 && value.length <= MOST_IDS;
    if (!isList || !value.every((id) => typeof id === 'string' && UUID.test(id)))
      refuse('"ids" is no list of ids', `from 1 to ${MOST_IDS} ids of dead letters, each a uuid`);
  } else refuse(`"${name}" selects nothing`, 'exactly one of "route", "fingerprint" and "ids"');
}

/** A validator's words: what is true, what was expected, what is safe. */
function refuse(what: string, expected: string): never {
  throw fail(
    'update_refused',
    `${what}. Expected: ${expected}. Nothing was changed; the replay goes on as it was.`,
  );
}
