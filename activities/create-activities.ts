import type { DrainActivities, MacroActivities } from '../contracts/macro-activities.ts';
import { applyChange } from './apply-change.ts';
import { closeRun } from './close-run.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { drainBatch } from './drain-batch.ts';
import { observeWindow } from './observe-window.ts';
import { openRun } from './open-run.ts';
import { openUndo } from './open-undo.ts';
import { readFingerprint } from './read-fingerprint.ts';
import { recordApproval } from './record-approval.ts';
import { recordChild } from './record-child.ts';
import { recordControl } from './record-control.ts';
import { runCheck } from './run-check.ts';
import { runDisable } from './run-disable.ts';
import { runProbe } from './run-probe.ts';
import { takeBackup } from './take-backup.ts';
import { undoChange } from './undo-change.ts';

/** Every activity of the worker, bound to what the composition root gives. */
export function createActivities(dependencies: ActivityDependencies): MacroActivities & DrainActivities {
  return {
    openRun: openRun(dependencies),
    openUndo: openUndo(dependencies),
    closeRun: closeRun(dependencies),
    readFingerprint: readFingerprint(dependencies),
    recordControl: recordControl(dependencies),
    recordApproval: recordApproval(dependencies),
    runCheck: runCheck(dependencies),
    takeBackup: takeBackup(dependencies),
    applyChange: applyChange(dependencies),
    undoChange: undoChange(dependencies),
    runProbe: runProbe(dependencies),
    observeWindow: observeWindow(dependencies),
    runVerify: runCheck(dependencies),
    recordChild: recordChild(dependencies),
    runDisable: runDisable(dependencies),
    drainBatch: drainBatch(dependencies),
  };
}
