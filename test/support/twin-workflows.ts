import { proxyActivities } from '@temporalio/workflow';
import type { DeliverInput, DeliverResult } from '../../contracts/deliver.ts';
import type { DrainInput, DrainResult } from '../../contracts/drain.ts';
import type { MacroActivities } from '../../contracts/macro-activities.ts';
import type { MacroInput, MacroStatus, UndoInput } from '../../contracts/macro-run.ts';
import type {
  ReplayByPolicyInput,
  ReplayByPolicyResult,
  ReplayInput,
  ReplayResult,
} from '../../contracts/replay.ts';
import type { RetentionInput, RetentionResult } from '../../contracts/retention.ts';
import { deliver as originalDeliver } from '../../workflows/deliver.ts';
import { drain as originalDrain } from '../../workflows/drain.ts';
import { macro as original } from '../../workflows/macro.ts';
import { replayByPolicy as originalReplayByPolicy } from '../../workflows/replay-by-policy.ts';
import { replayDeadLetters as originalReplay } from '../../workflows/replay-dead-letters.ts';
import { retention as originalRetention } from '../../workflows/retention.ts';
import { undoMacro as originalUndo } from '../../workflows/undo-macro.ts';

/** The workflows with one activity more: what a saved history must not replay against. */
const { readFingerprint } = proxyActivities<MacroActivities>({ startToCloseTimeout: '1 minute' });

export async function macro(input: MacroInput): Promise<MacroStatus> {
  await readFingerprint({ target: input.target });
  return original(input);
}

export async function undoMacro(input: UndoInput): Promise<MacroStatus> {
  await readFingerprint({ target: input.target });
  return originalUndo(input);
}

export async function drain(input: DrainInput): Promise<DrainResult> {
  await readFingerprint({ target: input.target });
  return originalDrain(input);
}

export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  await readFingerprint({ target: input.target });
  return originalDeliver(input);
}

export async function retention(input: RetentionInput): Promise<RetentionResult> {
  await readFingerprint({ target: input.target });
  return originalRetention(input);
}

export async function replayDeadLetters(input: ReplayInput): Promise<ReplayResult> {
  await readFingerprint({ target: input.target });
  return originalReplay(input);
}

export async function replayByPolicy(input: ReplayByPolicyInput): Promise<ReplayByPolicyResult> {
  await readFingerprint({ target: input.target });
  return originalReplayByPolicy(input);
}
