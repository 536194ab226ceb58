import type { Command } from 'commander';
import type { Lazily } from './lazily.ts';
import { changes, collect, follows, watches } from './options.ts';

const RUN = 'number or id of a run, or `latest`; the open run when absent';

/** `sluice macro …` */
export function addMacroCommands(program: Command, lazily: Lazily): void {
  const macro = program
    .command('macro')
    .description('governed changes: plan, start, watch, decide, take back');
  macro
    .command('list')
    .description('the macros of this machine, or the runs of the target')
    .option('--runs', 'the runs that the target knows, the newest first')
    .action(lazily(async () => (await import('./macro-list.ts')).macroList));
  macro
    .command('show')
    .description('the steps of a macro and the files they name')
    .argument('<macro>', 'name, folder or path of macro.yaml')
    .action(lazily(async () => (await import('./macro-show.ts')).macroShow));
  changes(macro.command('plan'))
    .description('pin a macro and its texts in the target; prints the plan hash')
    .argument('<macro>', 'name, folder or path of macro.yaml')
    .option(
      '--set <step.field=value>',
      'a time or an input instead of the manifest’s; may be repeated',
      collect,
    )
    .action(lazily(async () => (await import('./macro-plan.ts')).macroPlan));
  follows(changes(macro.command('start')))
    .description('start a run of a macro, planned now or by its hash')
    .argument('[macro]', 'name, folder or path of macro.yaml')
    .option('--plan <hash>', 'a plan that the target stores; refused where the files have changed since')
    .option(
      '--set <step.field=value>',
      'a time or an input instead of the manifest’s; may be repeated',
      collect,
    )
    .option('--take-over', 'close an unfinished run whose own Temporal is gone for good')
    .action(lazily(async () => (await import('./macro-start.ts')).macroStart));
  macro
    .command('status')
    .description('where a run stands: its steps, what it waits for, what is left to do')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-status.ts')).macroStatus));
  watches(macro.command('watch'))
    .description('follow a run; Ctrl-C leaves it going')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-watch.ts')).macroWatch));
  addDecisions(macro, lazily);
  macro
    .command('report')
    .description('write the evidence of a run as Markdown, JSON and HTML')
    .argument('<run>', 'number or id of a run, or `latest`')
    .option('--dir <dir>', 'where to; .sluice/reports when absent')
    .action(lazily(async () => (await import('./macro-report.ts')).macroReport));
}

function addDecisions(macro: Command, lazily: Lazily): void {
  changes(macro.command('approve'))
    .description('approve the pending step as a second person')
    .argument('[run]', RUN)
    .option('--fingerprint <sha256>', 'the database that is approved, as `macro status` shows it')
    .option('--plan <hash>', 'the plan that is approved, as `macro status` shows it')
    .action(lazily(async () => (await import('./macro-approve.ts')).macroApprove));
  changes(macro.command('reject'))
    .description('refuse the pending approval; the run rolls back')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-decide.ts')).macroReject));
  changes(macro.command('hold'))
    .description('stop a run before its next step')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-decide.ts')).macroHold));
  changes(macro.command('release'))
    .description('let a held run go on')
    .argument('[run]', RUN)
    .option(
      '--accept-fingerprint <sha256>',
      'accept the database as it is now, where it changed during the hold',
    )
    .action(lazily(async () => (await import('./macro-decide.ts')).macroRelease));
  changes(macro.command('retry'))
    .description('try the step again that waits for a person')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-decide.ts')).macroRetry));
  follows(changes(macro.command('rollback')))
    .description('take back a run: an open one at once, an ended or terminated one from its receipts')
    .argument('[run]', RUN)
    .option('--take-over', 'close an unfinished run whose own Temporal is gone for good')
    .action(lazily(async () => (await import('./macro-rollback.ts')).macroRollback));
  follows(changes(macro.command('cancel')))
    .description('cancel an open run as the Temporal UI does; it rolls itself back')
    .argument('[run]', RUN)
    .action(lazily(async () => (await import('./macro-cancel.ts')).macroCancel));
}
