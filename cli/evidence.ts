import type { Command } from 'commander';
import type { Lazily } from './lazily.ts';

/** `sluice evidence …` */
export function addEvidenceCommands(program: Command, lazily: Lazily): void {
  const evidence = program.command('evidence').description('evidence of runs, apart from any server');
  evidence
    .command('verify')
    .description('check the hash chain of a report’s JSON, and that the report says what the chain says')
    .argument('<file>', 'run-NO-MACRO.json, as `macro report` writes it')
    .action(lazily(async () => (await import('./evidence-verify.ts')).evidenceVerify));
}
