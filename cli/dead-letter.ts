import { type Command, InvalidArgumentError } from 'commander';
import {
  boundsLetters,
  choosesLetters,
  choosesPolicy,
  PLAN_HASH,
  stateOption,
} from './dead-letter-options.ts';
import { addPolicyCommands } from './dead-letter-policy-commands.ts';
import { addReplayCommands } from './dead-letter-replay-commands.ts';
import type { Lazily } from './lazily.ts';
import { changes, countFromZero, positiveInt } from './options.ts';

const STATES = ['open', 'parked', 'resolved', 'discarded'];

/** `sluice dead-letter …` */
export function addDeadLetterCommands(program: Command, lazily: Lazily): void {
  const deadLetter = program
    .command('dead-letter')
    .description('what could not be routed or delivered: look, plan a replay, replay, park, discard');
  choosesLetters(deadLetter.command('list'))
    .description('the dead letters by route and kind of failure; open ones unless --state says otherwise')
    .addOption(stateOption(STATES, 'letters in this state (open); may be repeated'))
    .option('--letters', 'single letters instead of kinds of failure')
    .option('--limit <rows>', 'at most so many', pageSize, 50)
    .option('--after <place>', 'go on where a page ended')
    .action(lazily(async () => (await import('./dead-letter-list.ts')).deadLetterList));
  deadLetter
    .command('show')
    .description('one letter: event, route then and now, failures, attempts, plans; or one kind of failure')
    .argument('<id-or-fingerprint>', 'as `dead-letter list` shows them')
    .action(lazily(async () => (await import('./dead-letter-show.ts')).deadLetterShow));
  addPlans(deadLetter, lazily);
  addReplayCommands(deadLetter, lazily);
  for (const [verb, says] of [
    ['park', 'set letters aside, out of the way of replays'],
    ['unpark', 'take parked letters up again'],
    ['discard', 'give letters up for good; they are kept, and an ordered route goes on behind them'],
  ] as const) {
    choosesLetters(changes(deadLetter.command(verb)))
      .description(says)
      .argument('[ids...]', 'ids of letters; or choose them with --fingerprint, --route and the like')
      .action(
        lazily(async () => {
          const change = await import('./dead-letter-change.ts');
          if (verb === 'park') return change.deadLetterPark;
          return verb === 'discard' ? change.deadLetterDiscard : change.deadLetterUnpark;
        }),
      );
  }
  addPolicyCommands(deadLetter, lazily);
}

function addPlans(deadLetter: Command, lazily: Lazily): void {
  const plan = deadLetter
    .command('plan')
    .description(
      'freeze which letters are replayed, where to and how, and try samples out; nothing is replayed',
    )
    .argument('[ids...]', 'ids of letters; all that the filter finds when absent')
    .option('--actor <name>', 'who does it (also SLUICE_ACTOR; else the user of this machine)')
    .option('--reason <text>', 'why; recorded in the plan')
    .option('--ticket <id>', 'where it was agreed; recorded in the reason');
  choosesPolicy(boundsLetters(choosesLetters(plan)))
    .addOption(stateOption(['open', 'parked'], 'letters in this state (open); may be repeated'))
    .option('--include-dry-run', 'also letters whose route is in dry run: resolved, and nothing is delivered')
    .option('--samples <letters>', 'of each kind of failure to try out', countFromZero, 20)
    .option('--no-try-out', 'try nothing out')
    .option('--leave-out-failing', 'leave out, and open, the kinds of failure whose samples all still fail')
    .addHelpText('after', PLAN_HELP)
    .action(lazily(async () => (await import('./dead-letter-plan.ts')).deadLetterPlan));
  deadLetter
    .command('plans')
    .description('the plans of the target with their progress, the newest first')
    .option('--limit <rows>', 'at most so many', pageSize, 50)
    .action(lazily(async () => (await import('./dead-letter-plans.ts')).deadLetterPlans));
  changes(deadLetter.command('approve'))
    .description('approve a plan of many letters, as another person than the one who made it')
    .argument('<hash>', PLAN_HASH)
    .action(lazily(async () => (await import('./dead-letter-approve.ts')).deadLetterApprove));
}

function pageSize(value: string): number {
  const size = positiveInt(value);
  if (size > 10_000) throw new InvalidArgumentError('Expected at most 10000.');
  return size;
}

const PLAN_HELP = `
What is tried out runs in a transaction that is rolled back, or touches nothing: functions of the database, reports, vectors.
An external endpoint is never called, so its letters stay unknown. Examples:
  sluice dead-letter plan --route crm --reason "the CRM is back"
  sluice dead-letter plan --fingerprint 0f3c5a7e9b1d2468 --canary 5 --rate 20 --attempts 3 --reason "fixed in 2.4"
  sluice dead-letter plan --code timeout --since 24h --failure-limit 100 --rate unlimited --reason "the network is back"`;
