import { type Command, Option } from 'commander';
import { PLAN_HASH } from './dead-letter-options.ts';
import type { Lazily } from './lazily.ts';
import { changes, collect, duration } from './options.ts';

const RUN = 'the same, or the id of a workflow or of its first execution';

/** `sluice dead-letter replay …` */
export function addReplayCommands(deadLetter: Command, lazily: Lazily): void {
  const replay = deadLetter
    .command('replay')
    .description('execute a plan as a Temporal workflow: replay HASH; look at it and steer it');
  changes(replay.command('start', { isDefault: true }))
    .description('start a run of a plan and follow it; `replay HASH` is the same. 5 where letters failed')
    .argument('<hash>', PLAN_HASH)
    .addOption(
      new Option('--until <part>', 'stop after the canary').choices(['canary', 'end']).default('end'),
    )
    .option('--detach', 'start it and do not follow it')
    .option('--timeout <duration>', 'stop following after so long; the run goes on', duration)
    .action(lazily(async () => (await import('./dead-letter-replay-start.ts')).deadLetterReplayStart));
  replay
    .command('watch')
    .description('follow the newest run of a plan; Ctrl-C leaves it going')
    .argument('<hash>', RUN)
    .option('--timeout <duration>', 'stop following after so long; the run goes on', duration)
    .action(lazily(async () => (await import('./dead-letter-replay-start.ts')).deadLetterReplayWatch));
  replay
    .command('show')
    .description('the runs of a plan as one story: what happened, and every execution in Temporal')
    .argument('<run>', RUN)
    .option('--evidence <dir>', 'write the report there, as Markdown and JSON')
    .action(lazily(async () => (await import('./dead-letter-replay-show.ts')).deadLetterReplayShow));
  for (const [verb, says] of [
    ['hold', 'try nothing further until it is released; what is in flight is settled'],
    ['release', 'let a held run go on'],
    ['cancel', 'end the run as the Temporal UI does: what is in flight is settled, the rest stays open'],
  ] as const) {
    changes(replay.command(verb))
      .description(says)
      .argument('<hash>', RUN)
      .action(lazily(async () => (await import('./dead-letter-replay-steer.ts')).STEER_REPLAY[verb]));
  }
  changes(replay.command('skip'))
    .description('leave letters alone that were not tried yet, or wait for another try; they stay open')
    .argument('<hash>', RUN)
    .option('--route <code>', 'letters of this route')
    .option('--fingerprint <digits>', 'letters of this kind of failure')
    .option('--id <id>', 'this letter; may be repeated', collect)
    .action(lazily(async () => (await import('./dead-letter-replay-steer.ts')).STEER_REPLAY.skip));
  changes(replay.command('rate'))
    .description('letters per second from now on')
    .argument('<hash>', RUN)
    .argument('<rate>', 'a number above 0, or unlimited')
    .action(lazily(async () => (await import('./dead-letter-replay-steer.ts')).STEER_REPLAY.rate));
}
