import type { DeliverActivities } from '../contracts/deliver.ts';
import type { DrainActivities } from '../contracts/drain.ts';
import type { MacroActivities } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { ReplayActivities, ReplaySliceActivities } from '../contracts/replay.ts';
import type { RetentionActivities } from '../contracts/retention.ts';
import { applyChange } from './apply-change.ts';
import { closeReplay } from './close-replay.ts';
import { closeRun } from './close-run.ts';
import { deliverSlice } from './deliver-slice.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { drainSlice } from './drain-slice.ts';
import { observeWindow } from './observe-window.ts';
import { openReplay } from './open-replay.ts';
import { openRun } from './open-run.ts';
import { openUndo } from './open-undo.ts';
import { planByPolicy } from './plan-by-policy.ts';
import { readFingerprint } from './read-fingerprint.ts';
import { recordApproval } from './record-approval.ts';
import { recordChild } from './record-child.ts';
import { recordControl } from './record-control.ts';
import { replaySlice } from './replay-slice.ts';
import { retirePartition } from './retire-partition.ts';
import { retirePlan } from './retire-plan.ts';
import { retirePrepare } from './retire-prepare.ts';
import { repeatCheck, runCheck } from './run-check.ts';
import { runDisable } from './run-disable.ts';
import { runProbe } from './run-probe.ts';
import { steerReplay } from './steer-replay.ts';
import { takeBackup } from './take-backup.ts';
import { undoChange } from './undo-change.ts';

/** What the delivery task queue runs. */
export function createDeliveryActivities(
  dependencies: ActivityDependencies,
): DeliverActivities & ReplaySliceActivities {
  return { deliverSlice: deliverSlice(dependencies), replaySlice: replaySlice(dependencies) };
}

/** What the task queue of macros runs, bound to what the composition root gives. */
export function createActivities(
  dependencies: ActivityDependencies,
): MacroActivities & DrainActivities & RetentionActivities & ReplayActivities {
  return {
    openRun: openRun(dependencies),
    openUndo: openUndo(dependencies),
    closeRun: closeRun(dependencies),
    readFingerprint: readFingerprint(dependencies),
    recordControl: recordControl(dependencies),
    recordApproval: withoutRows(recordApproval(dependencies)),
    runCheck: withoutRows(runCheck(dependencies)),
    repeatCheck: withoutRows(repeatCheck(dependencies)),
    takeBackup: withoutRows(takeBackup(dependencies)),
    applyChange: withoutRows(applyChange(dependencies)),
    undoChange: undoChange(dependencies),
    runProbe: withoutRows(runProbe(dependencies)),
    observeWindow: withoutRows(observeWindow(dependencies)),
    runVerify: withoutRows(runCheck(dependencies)),
    recordChild: withoutRows(recordChild(dependencies)),
    runDisable: withoutRows(runDisable(dependencies)),
    drainSlice: drainSlice(dependencies),
    retirePlan: retirePlan(dependencies),
    retirePrepare: retirePrepare(dependencies),
    retirePartition: retirePartition(dependencies),
    openReplay: openReplay(dependencies),
    steerReplay: steerReplay(dependencies),
    closeReplay: closeReplay(dependencies),
    planByPolicy: planByPolicy(dependencies),
  };
}

/** What a script reported stays in the target; a history gets the verdict and one line. */
function withoutRows<I>(activity: (input: I) => Promise<StepResult>): (input: I) => Promise<StepResult> {
  return async (input) => ({ ...(await activity(input)), checks: [] });
}
