import { Argument, type Command } from 'commander';
import { SCHEDULE_NAMES } from '../contracts/schedule.ts';
import type { Lazily } from './lazily.ts';
import { changes, duration, positiveInt } from './options.ts';

/** `sluice schedule …` */
export function addScheduleCommands(program: Command, lazily: Lazily): void {
  const schedule = program
    .command('schedule')
    .description(
      'what Temporal starts by itself: drains, deliveries, retention, and the replays that policies allow',
    );
  schedule
    .command('list')
    .description('the schedules of the targets, what they did, and how the outbox is')
    .action(lazily(async () => (await import('./schedule-list.ts')).scheduleList));
  changes(schedule.command('apply'))
    .description('create a schedule, or make it what is asked; a paused one stays paused')
    .addArgument(name())
    .option(
      '--every <duration>',
      'how often it starts (drain and deliver 10s, replay 5m, retention 24h)',
      duration,
    )
    .option(
      '--jitter <duration>',
      'how late a start may be (drain and deliver 1s, replay 10s, retention 10m)',
      duration,
    )
    .option('--batch <events>', 'drain: events of one transaction', positiveInt, 2_000)
    .option('--cursor <code>', 'drain: which worker’s cursor', 'iu_outbound_default')
    .option('--apply', 'retention: let partitions leave; without it each run only says what would')
    .addHelpText('after', APPLY_HELP)
    .action(lazily(async () => (await import('./schedule-apply.ts')).scheduleApply));
  for (const [verb, says] of [
    ['pause', 'start no further run; one that runs goes on'],
    ['resume', 'start runs again; what was due meanwhile is not made up for'],
    ['trigger', 'start a run now, unless one is running'],
    ['delete', 'remove the schedule; a run that it started goes on'],
  ] as const) {
    changes(schedule.command(verb))
      .description(says)
      .addArgument(name())
      .action(
        lazily(async () => {
          const steer = await import('./schedule-steer.ts');
          return steer.STEER[verb];
        }),
      );
  }
}

function name(): Argument {
  return new Argument('<schedule>', 'which one').choices(SCHEDULE_NAMES);
}

const APPLY_HELP = `
A schedule starts workflows; a worker runs them: \`sluice up\` keeps one, \`sluice worker\` starts one. Nothing is scheduled
unless it is applied. Examples:
  sluice schedule apply drain --every 10s --reason "drain by itself"
  sluice schedule apply deliver --reason "deliver by itself"
  sluice schedule apply retention --reason "say what may leave, once a day"
  sluice schedule apply retention --apply --yes --reason "90 days are enough"
  sluice schedule apply replay --reason "what a policy allows"   # policies: sluice dead-letter policy list`;
