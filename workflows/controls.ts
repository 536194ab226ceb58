import {
  CancellationScope,
  condition,
  currentUpdateInfo,
  defineQuery,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';
import {
  type ApproveInput,
  type ControlInput,
  type ReleaseInput,
  STATUS_QUERY,
} from '../contracts/control.ts';
import type { MacroStatus } from '../contracts/macro-run.ts';
import { fail } from './fail.ts';
import { activities, briefly } from './macro-activities.ts';
import type { RunState } from './run-state.ts';

const approveUpdate = defineUpdate<string, [ApproveInput]>('approve');
const rejectUpdate = defineUpdate<string, [ControlInput]>('reject');
const holdUpdate = defineUpdate<string, [ControlInput]>('hold');
const releaseUpdate = defineUpdate<string, [ReleaseInput]>('release');
const retryStepUpdate = defineUpdate<string, [ControlInput]>('retryStep');
const rollbackUpdate = defineUpdate<string, [ControlInput]>('rollback');
const statusQuery = defineQuery<MacroStatus>(STATUS_QUERY);

/** A decision that somebody made, with Temporal's id of the update that carried it. */
export interface Decision<T extends ControlInput = ControlInput> {
  readonly control: T;
  readonly updateId: string;
}

/** What people have asked of the run; the run looks at it where it may act on it. */
export interface Controls {
  approval: Decision<ApproveInput> | null;
  rejection: Decision | null;
  hold: Decision | null;
  retry: Decision | null;
  rollback: Decision | null;
  /** The step that a failed verdict or a failed activity left for a person, and why, if any. */
  stepForPerson: { readonly id: string; readonly why: string } | null;
  /** Set once compensation has begun: nothing takes the run forward any more. */
  isUndoing: boolean;
}

/**
 * Installs the updates and the status query. Validators are synchronous; a refusal is never part of history.
 *
 * @param interrupt cancels the forward part, whatever it waits for
 */
export function installControls(state: RunState, interrupt: () => void): Controls {
  const controls: Controls = {
    approval: null,
    rejection: null,
    hold: null,
    retry: null,
    rollback: null,
    stepForPerson: null,
    isUndoing: false,
  };
  setHandler(statusQuery, () => state.status);
  setHandler(
    approveUpdate,
    (control) => {
      controls.approval = decided(control);
      return `approved step ${state.status.pendingApproval?.stepId}`;
    },
    {
      validator: (control) => validateApproval(state, controls, control),
      description: 'A second person approves the pending step.',
    },
  );
  setHandler(
    rejectUpdate,
    (control) => {
      controls.rejection = decided(control);
      return 'rejected; the run rolls back';
    },
    {
      validator: (control) => {
        validateControl(control);
        const isOpen = state.status.pendingApproval !== null && controls.rejection === null;
        if (!isOpen) refuse('No approval is pending', 'reject answers a pending approval');
        if (controls.approval !== null)
          refuse('The step was approved a moment ago', 'rollback takes the run back');
      },
      description: 'Refuses the pending approval; the run rolls back.',
    },
  );
  setHandler(holdUpdate, (control) => hold(state, controls, control), {
    validator: (control) => {
      validateControl(control);
      if (controls.isUndoing || state.status.outcome !== null)
        refuse('The run no longer goes forward', 'hold stops a run before its next step');
      if (controls.hold !== null) refuse('The run is held already', 'release it, or roll it back');
    },
    description: 'Stops before the next step.',
  });
  setHandler(releaseUpdate, (control) => release(state, controls, control), {
    validator: (control) => {
      validateControl(control);
      if (controls.hold !== null) return;
      const step = controls.stepForPerson;
      if (step !== null) refuse(`Nobody holds the run; ${step.why}`, 'retryStep, or rollback');
      refuse('The run is not held', 'release answers hold');
    },
    description: 'Lets a held run go on.',
  });
  setHandler(
    retryStepUpdate,
    (control) => {
      controls.retry = decided(control);
      return `step ${controls.stepForPerson?.id} is tried again`;
    },
    {
      validator: (control) => {
        validateControl(control);
        if (controls.stepForPerson === null || controls.retry !== null) {
          refuse('No step waits for a person', 'retryStep answers a step that was held with its verdict');
        }
        if (controls.hold !== null)
          refuse(`${controls.hold.control.actor} holds the run`, 'release it first, then retryStep');
      },
      description: 'Tries the step again that waits for a person.',
    },
  );
  setHandler(
    rollbackUpdate,
    (control) => {
      controls.rollback = decided(control);
      interrupt();
      return 'rolling back';
    },
    {
      validator: (control) => {
        validateControl(control);
        if (controls.isUndoing || state.status.outcome !== null)
          refuse('The run is being rolled back or has ended', 'nothing more is needed');
      },
      description: 'Takes back everything this run did.',
    },
  );
  return controls;
}

/** What was decided on one approval says nothing of the next. */
export function forgetApproval(controls: Controls): void {
  controls.approval = null;
  controls.rejection = null;
}

/** Shows who holds the run, or which step waits for a person. */
export function showHeld(state: RunState, { hold, stepForPerson }: Controls): void {
  if (hold !== null) state.setHeld({ actor: hold.control.actor, reason: hold.control.reason });
  else state.setHeld(stepForPerson === null ? null : { actor: 'sluice', reason: stepForPerson.why });
}

/**
 * Waits while the run is held. The fingerprint that `release` compares is taken here, when the step that was at work
 * has ended, so that its own effect is no surprise.
 *
 * @returns whether it was held
 */
export async function waitWhileHeld(state: RunState, controls: Controls): Promise<boolean> {
  const wasHeld = controls.hold !== null;
  while (controls.hold !== null) {
    const held = controls.hold;
    const { target } = state.status;
    state.heldFingerprint = await activities.readFingerprint.executeWithOptions(
      briefly('Fingerprint while held'),
      [{ target }],
    );
    state.setPhase('held');
    await condition(() => controls.hold !== held);
    state.heldFingerprint = null;
  }
  return wasHeld;
}

async function hold(state: RunState, controls: Controls, control: ControlInput): Promise<string> {
  const decision = decided(control);
  controls.hold = decision;
  showHeld(state, controls);
  return CancellationScope.nonCancellable(async () => {
    await condition(() => state.status.runId !== null || state.status.outcome !== null);
    const { target, runId } = state.status;
    if (runId === null) return 'held';
    const fingerprint = await activities.readFingerprint.executeWithOptions(
      briefly('Fingerprint at the hold'),
      [{ target }],
    );
    await activities.recordControl.executeWithOptions(briefly(`Record hold by ${control.actor}`), [
      { target, runId, stepId: null, action: 'hold', control, updateId: decision.updateId, fingerprint },
    ]);
    return 'held before the next step';
  });
}

async function release(state: RunState, controls: Controls, control: ReleaseInput): Promise<string> {
  const decision = decided(control);
  const held = controls.hold;
  return CancellationScope.nonCancellable(async () => {
    const { target, runId } = state.status;
    if (runId === null) return 'released';
    const fingerprint = await activities.readFingerprint.executeWithOptions(
      briefly('Compare the database after the hold'),
      [{ target }],
    );
    if (
      state.heldFingerprint !== null &&
      fingerprint !== state.heldFingerprint &&
      control.acceptFingerprint !== fingerprint
    ) {
      throw fail(
        'update_refused',
        `The database changed while the run was held: fingerprint ${fingerprint}. Release again with "acceptFingerprint": "${fingerprint}" to go on, or roll back. The run is still held; nothing was changed.`,
      );
    }
    await activities.recordControl.executeWithOptions(briefly(`Record release by ${control.actor}`), [
      { target, runId, stepId: null, action: 'release', control, updateId: decision.updateId, fingerprint },
    ]);
    if (controls.hold === held) controls.hold = null;
    showHeld(state, controls);
    return 'released';
  });
}

function decided<T extends ControlInput>(control: T): Decision<T> {
  return { control, updateId: currentUpdateInfo()?.id ?? '' };
}

function validateControl(control: ControlInput | undefined): void {
  for (const field of ['actor', 'reason'] as const) {
    const value = control?.[field];
    if (typeof value !== 'string' || value.trim() === '') {
      refuse(`"${field}" is missing or empty`, 'an object {"actor": "…", "reason": "…", "ticket": "…"?}');
    }
  }
}

function validateApproval(state: RunState, controls: Controls, control: ApproveInput): void {
  validateControl(control);
  const pending = state.status.pendingApproval;
  if (pending === null || controls.approval !== null || controls.rejection !== null) {
    refuse('No approval is pending', 'approve answers a pending approval');
  }
  if (control.planHash !== pending.planHash) {
    refuse(
      `The plan hash ${String(control.planHash)} is not the plan that runs`,
      `"planHash": "${pending.planHash}"`,
    );
  }
  if (control.fingerprint !== pending.fingerprint) {
    refuse(
      `The fingerprint ${String(control.fingerprint)} is not the database that waits`,
      `"fingerprint": "${pending.fingerprint}"`,
    );
  }
  if (control.actor.trim().toLowerCase() === state.requester.trim().toLowerCase()) {
    refuse(`${control.actor} asked for this run`, 'a second person approves');
  }
  if (Date.now() > Date.parse(pending.expiresAt))
    refuse(`The approval expired at ${pending.expiresAt}`, 'start the macro again');
}

/** A validator's words: what is true, what was expected, what is safe. */
function refuse(what: string, expected: string): never {
  throw fail(
    'update_refused',
    `${what}. Expected: ${expected}. Nothing was changed; the run goes on as it was.`,
  );
}
