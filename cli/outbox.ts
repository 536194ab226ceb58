import { type Command, Option } from 'commander';
import type { Lazily } from './lazily.ts';
import { changes, duration, positiveInt } from './options.ts';

export const DISABLE_LEVELS = ['L0', 'L1', 'L2', 'L3'] as const;
export type DisableLevel = (typeof DISABLE_LEVELS)[number];

/** `sluice outbox …` */
export function addOutboxCommands(program: Command, lazily: Lazily): void {
  const outbox = program
    .command('outbox')
    .description('the outbox of IU Core: emit, drain, deliver, health, proof, gates');
  changes(outbox.command('emit'))
    .description('write one event through the governed emitter')
    .requiredOption('--domain <name>', 'domain of the event, such as iu')
    .requiredOption('--type <name>', 'type of the event, such as version_applied')
    .option('--subject <text>', 'what the event is about')
    .option('--subject-ref <uuid>', 'id of what the event is about')
    .option('--payload <json>', 'a JSON object', '{}')
    .option('--payload-file <file>', 'a file with the JSON object; - for stdin')
    .action(lazily(async () => (await import('./outbox-emit.ts')).outboxEmit));
  outbox
    .command('health')
    .description('gates, backlog, high-water mark and what holds it back, dead letters, last run')
    .action(lazily(async () => (await import('./outbox-health.ts')).outboxHealth));
  changes(outbox.command('drain'))
    .description('route what is in the outbox now, batch by batch')
    .option('--limit <events>', 'stop after so many events', positiveInt)
    .option('--batch <events>', 'events of one transaction', positiveInt, 2_000)
    .option('--cursor <code>', 'which worker’s cursor', 'iu_outbound_default')
    .action(lazily(async () => (await import('./outbox-drain.ts')).outboxDrain));
  changes(outbox.command('deliver'))
    .description('deliver what is due now, from this process')
    .option('--for <duration>', 'go on looking for so long', duration, 0)
    .action(lazily(async () => (await import('./outbox-deliver.ts')).outboxDeliver));
  outbox
    .command('conservation')
    .description(
      'prove that nothing was lost: events against decisions, with the ids that fail; 5 where it does not balance',
    )
    .action(lazily(async () => (await import('./outbox-conservation.ts')).outboxConservation));
  changes(outbox.command('release'))
    .description('decide again what a closed gate kept back')
    .option('--limit <events>', 'release at most so many', positiveInt)
    .option('--cursor <code>', 'which worker’s cursor', 'iu_outbound_default')
    .action(lazily(async () => (await import('./outbox-release.ts')).outboxRelease));
  changes(outbox.command('rebase'))
    .description('after a restore into another cluster: let the cursors count there')
    .action(lazily(async () => (await import('./outbox-rebase.ts')).outboxRebase));
  for (const [verb, says] of [
    ['disable', 'close: L0 the worker gate, L1 the master gate, L2 the routes, L3 the triggers'],
    ['enable', 'the way back of a level, which opens again what it closed'],
  ] as const) {
    changes(outbox.command(verb))
      .description(says)
      .addOption(new Option('--level <level>', 'which level').choices(DISABLE_LEVELS).makeOptionMandatory())
      .action(
        lazily(async () => {
          const gates = await import('./outbox-gates.ts');
          return verb === 'disable' ? gates.outboxDisable : gates.outboxEnable;
        }),
      );
  }
}
