import {
  deleteSchedule,
  pauseSchedule,
  resumeSchedule,
  type Triggered,
  triggerSchedule,
} from '../client/steer-schedule.ts';
import type { ControlInput } from '../contracts/control.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { type ScheduleName, scheduleId } from '../contracts/schedule.ts';
import { actorOf, controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { printResult } from './print.ts';
import { CALL_MS, type TemporalAccess } from './temporal-access.ts';

type Verb = 'pause' | 'resume' | 'trigger' | 'delete';

interface Steering {
  readonly temporal: TemporalAccess;
  readonly target: string;
  readonly name: ScheduleName;
  readonly note: string;
}

const ACT: Readonly<Record<Verb, (given: Steering) => Promise<Triggered | null>>> = {
  pause: ({ temporal, target, name, note }) =>
    pauseSchedule(temporal.client, target, name, `paused by ${note}`).then(nothing),
  resume: ({ temporal, target, name, note }) =>
    resumeSchedule(temporal.client, target, name, `resumed by ${note}`).then(nothing),
  trigger: ({ temporal, target, name }) => triggerSchedule(temporal.client, target, name),
  delete: ({ temporal, target, name }) => deleteSchedule(temporal.client, target, name).then(nothing),
};

const NOTED: ReadonlySet<Verb> = new Set(['pause', 'resume']);

/** `sluice schedule pause|resume|trigger|delete drain|deliver|retention|replay` */
export const STEER: Readonly<Record<Verb, Handler<ChangeOptions>>> = {
  pause: steers('pause'),
  resume: steers('resume'),
  trigger: steers('trigger'),
  delete: steers('delete'),
};

function steers(verb: Verb): Handler<ChangeOptions> {
  return ([named], options) =>
    withContext(options, async (context): Promise<ExitCode> => {
      const name = named as ScheduleName;
      const target = context.targetName();
      const schedule = scheduleId(target, name);
      const isDry = options.dryRun === true;
      if (verb === 'delete' && !isDry) await confirm(`Delete the schedule ${schedule}?`, options);
      // A trigger and a deletion leave no note that could keep a reason.
      const control = NOTED.has(verb)
        ? await controlOf(options, context.env)
        : { actor: actorOf(options, context.env), reason: options.reason ?? '' };
      const temporal = await context.temporal();
      const done = isDry
        ? null
        : await temporal.within(CALL_MS, () => ACT[verb]({ temporal, target, name, note: noteOf(control) }));
      const run = done?.run ?? null;
      const started = run === null ? null : { ...run, link: temporal.link(run.workflowId, run.runId) };
      const answer = isDry ? `would ${verb}` : (done?.answer ?? DONE[verb]);
      const result = { schedule, verb, dryRun: isDry, answer, run: started, ...control };
      printResult(context.output, result, () =>
        [
          `${schedule} ${SAID[answer] ?? answer}`,
          ...(started === null ? [] : [started.link ?? `workflow ${started.workflowId}`]),
        ].join('\n'),
      );
      return EXIT.done;
    });
}

const DONE: Readonly<Record<Verb, string>> = {
  pause: 'paused',
  resume: 'resumed',
  trigger: 'sent',
  delete: 'deleted',
};

const SAID: Readonly<Record<string, string>> = {
  started: 'has started a run',
  skipped: 'started nothing: a run is open',
  sent: 'was told to start a run, and has not said whether it did',
};

function noteOf({ actor, reason, ticket }: ControlInput): string {
  return `${actor}: ${reason}${ticket === undefined ? '' : ` (${ticket})`}`;
}

function nothing(): null {
  return null;
}
