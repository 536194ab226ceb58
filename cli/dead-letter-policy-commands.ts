import type { Command } from 'commander';
import { boundsLetters, choosesLetters, choosesPolicy, stateOption } from './dead-letter-options.ts';
import type { Lazily } from './lazily.ts';
import { changes, duration } from './options.ts';

const CODE = 'name of the policy';

/** `sluice dead-letter policy …` */
export function addPolicyCommands(deadLetter: Command, lazily: Lazily): void {
  const policy = deadLetter
    .command('policy')
    .description('what the scheduled replay may replay by itself; off until switched on');
  policy
    .command('list')
    .description('the policies of the target')
    .action(lazily(async () => (await import('./dead-letter-policy.ts')).deadLetterPolicyList));
  const set = changes(policy.command('set'))
    .description('make a policy, or change one; either way it is off then')
    .argument('<policy>', 'letters, digits, dot, dash and underscore')
    .option('--min-age <duration>', 'letters whose newest failure is older', duration, 300_000)
    .option('--description <text>', 'what it is for');
  choosesPolicy(boundsLetters(choosesLetters(set), { letters: ' at a time (100)', replays: ' (3)' }))
    .addOption(stateOption(['open', 'parked'], 'letters in this state (open); may be repeated'))
    .addHelpText('after', SET_HELP)
    .action(lazily(async () => (await import('./dead-letter-policy.ts')).deadLetterPolicySet));
  for (const [verb, says] of [
    ['enable', 'let the schedule use it'],
    ['disable', 'keep the schedule from using it; a run that is open goes on'],
    ['remove', 'remove it; the plans that it made stay'],
  ] as const) {
    changes(policy.command(verb))
      .description(says)
      .argument('<policy>', CODE)
      .action(
        lazily(async () => {
          const policies = await import('./dead-letter-policy.ts');
          if (verb === 'remove') return policies.deadLetterPolicyRemove;
          return verb === 'enable' ? policies.deadLetterPolicyEnable : policies.deadLetterPolicyDisable;
        }),
      );
  }
}

const SET_HELP = `
Policies do nothing without their schedule. Example:
  sluice dead-letter policy set crm-timeouts --route crm --code timeout --min-age 10m --max-letters 50 --reason "agreed"
  sluice dead-letter policy enable crm-timeouts --yes --reason "agreed"
  sluice schedule apply replay --reason "agreed"`;
