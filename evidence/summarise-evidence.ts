import type {
  DerivedEvidence,
  Effect,
  EvidenceSummary,
  RunEvidence,
  StepEvidence,
} from './evidence-document.ts';

/** What people read first: how it ended, what is true of the database now by its records, what is left to do. */
export function summariseEvidence(derived: DerivedEvidence): EvidenceSummary {
  const { run } = derived;
  const back = derived.takenBackBy.at(-1);
  if (run.kind === 'undo') return { ...ofUndoRun(derived), next: null };
  const summary = back === undefined ? ofRun(derived) : ofTakenBack(derived, back);
  const next = run.outcome === 'succeeded' && back === undefined ? derived.planDocument.next : null;
  return { ...summary, next };
}

type Summary = Omit<EvidenceSummary, 'next'>;

function ofRun(derived: DerivedEvidence): Summary {
  const { run } = derived;
  const leftToDo = run.leftToDo;
  const standing = sayEffects(derived.steps);
  const because = run.cause === '' ? [] : [`Cause: ${run.cause}`];
  switch (run.outcome) {
    case 'succeeded': {
      const count = derived.steps.filter((step) => step.verdict === 'pass').length;
      const all = count === derived.steps.length ? `All ${count}` : `${count} of ${derived.steps.length}`;
      return {
        tone: leftToDo.length === 0 ? 'good' : 'warn',
        headline: 'Succeeded',
        trueNow: [`${all} steps passed.`, ...standing, ...because],
        leftToDo,
      };
    }
    case 'rolled_back':
      return {
        tone: 'back',
        headline: 'Rolled back',
        trueNow: [...standing, sayFingerprint(run), ...sayTrouble(derived.steps), ...because],
        leftToDo,
      };
    case 'disabled': {
      const ran = derived.disable.filter((step) => step.state === 'done').map((step) => step.id);
      const runbook = ran.length === 0 ? 'the disable runbook' : `the disable runbook (${ran.join(', ')})`;
      return {
        tone: 'warn',
        headline: 'Disabled, not rolled back',
        trueNow: [
          `A rollback script refused because history exists, so ${runbook} ran instead.`,
          ...standing,
          ...because,
        ],
        leftToDo,
      };
    }
    case 'needs_action':
      return {
        tone: 'bad',
        headline: 'Needs action',
        trueNow: [...standing, ...sayTrouble(derived.steps), ...because],
        leftToDo,
      };
    default:
      return unfinished(derived, standing);
  }
}

function unfinished(derived: DerivedEvidence, standing: readonly string[]): Summary {
  const { run, steps } = derived;
  const current = steps.find((step) => step.state === 'current');
  const isGoingBack = steps.some((step) => step.undo !== null);
  const where = isGoingBack
    ? 'It is rolling back.'
    : current === undefined
      ? 'No step is open by the records.'
      : `It stands at step ${current.id} (running, waiting or retrying).`;
  return {
    tone: 'open',
    headline: isGoingBack ? 'Unfinished, rolling back' : 'Unfinished',
    trueNow: [`The run was open when this was collected. ${where}`, ...standing],
    leftToDo: [
      {
        stepId: current?.id ?? '',
        what: `Nothing by these records. Look where the run stands before you act: workflow ${run.workflowId} in namespace ${run.temporal.namespace} of the Temporal at ${run.temporal.address}.`,
        how: `sluice macro status ${run.runNo}`,
      },
    ],
  };
}

function ofTakenBack(derived: DerivedEvidence, back: RunEvidence): Summary {
  const ended = derived.run.outcome === null ? 'Not closed' : HEADLINE[derived.run.outcome];
  const standing = sayEffects(derived.steps);
  const who = `Undo run #${back.runNo} (${back.actor.claimed}: ${back.reason})`;
  if (back.outcome === null) {
    return {
      tone: 'open',
      headline: `${ended}; an undo is unfinished`,
      trueNow: [`${who} was open when this was collected.`, ...standing],
      leftToDo: [
        { stepId: '', what: `Let undo run #${back.runNo} finish.`, how: `sluice macro status ${back.runNo}` },
      ],
    };
  }
  const clean = back.outcome === 'rolled_back' || back.outcome === 'succeeded';
  return {
    tone: clean ? 'back' : back.outcome === 'disabled' ? 'warn' : 'bad',
    headline: clean ? `${ended}, then taken back` : `${ended}; its undo ended as ${say(back.outcome)}`,
    trueNow: [
      `${who} ${clean ? 'took this run back' : `tried to take this run back and ended as ${say(back.outcome)}`}.`,
      ...standing,
      sayReturn(derived.run, back),
      ...(back.cause === '' || clean ? [] : [`Cause: ${back.cause}`]),
    ],
    leftToDo: back.leftToDo,
  };
}

function ofUndoRun(derived: DerivedEvidence): Summary {
  const { run, takesBack } = derived;
  const which =
    takesBack === null
      ? 'a run that is not in this document'
      : `run #${takesBack.runNo} (${takesBack.macro})`;
  const standing = sayEffects(derived.steps);
  const clean = run.outcome === 'rolled_back' || run.outcome === 'succeeded';
  if (run.outcome === null) return unfinished(derived, standing);
  return {
    tone: clean ? 'back' : run.outcome === 'disabled' ? 'warn' : 'bad',
    headline: clean ? `Took ${which} back` : `Undo of ${which}: ${say(run.outcome)}`,
    trueNow: [
      ...standing,
      ...(takesBack === null ? [] : [sayReturn(takesBack, run)]),
      ...(run.cause === '' || clean ? [] : [`Cause: ${run.cause}`]),
    ],
    leftToDo: run.leftToDo,
  };
}

const HEADLINE = {
  succeeded: 'Succeeded',
  rolled_back: 'Rolled back',
  disabled: 'Disabled',
  needs_action: 'Needed action',
} as const;

function say(outcome: string): string {
  return outcome.replaceAll('_', ' ');
}

function sayEffects(steps: readonly StepEvidence[]): string[] {
  const ids = (effect: Effect) => steps.filter((step) => step.effect === effect).map((step) => step.id);
  const sentences: [string, readonly string[]][] = [
    ['In effect', ids('in_effect')],
    ['Ran, and has no undo', ids('ran')],
    ['Held before this run, left as it was', ids('held_before')],
    ['Taken back', ids('taken_back')],
    ['Not known, because it cannot run in a transaction and left no receipt', ids('unknown')],
  ];
  const told = sentences
    .filter(([, found]) => found.length > 0)
    .map(([label, found]) => `${label}: ${found.join(', ')}.`);
  const changes = steps.some((step) => step.effect !== null);
  const stands = ids('in_effect').length + ids('unknown').length + ids('ran').length > 0;
  if (!changes) return ['This macro changes nothing.'];
  return stands ? told : ['Nothing of this run is in effect.', ...told];
}

/** The failures that decided the run, one sentence a step. */
function sayTrouble(steps: readonly StepEvidence[]): string[] {
  return steps.flatMap((step) => {
    const undo = step.failures.findLast((failure) => failure.direction === 'undo');
    if (step.undo === 'failed' && undo !== undefined)
      return [`The undo of ${step.id} failed: ${undo.message}`];
    return step.state === 'failed' ? [`Step ${step.id} failed: ${step.detail}`] : [];
  });
}

function sayFingerprint(run: RunEvidence): string {
  if (run.fingerprint.equal === null) return 'The fingerprint at the end was not recorded.';
  return run.fingerprint.equal
    ? 'Definitions at the end are those of the start (equal fingerprints; data is not part of them).'
    : 'Definitions at the end differ from the start (fingerprints differ): compare before you go on.';
}

function sayReturn(first: RunEvidence, back: RunEvidence): string {
  if (back.fingerprint.atEnd === null) return 'The fingerprint at the end of the undo was not recorded.';
  return back.fingerprint.atEnd === first.fingerprint.atStart
    ? `Definitions are those from before run #${first.runNo} (equal fingerprints; data is not part of them).`
    : `Definitions differ from those before run #${first.runNo} (fingerprints differ).`;
}
