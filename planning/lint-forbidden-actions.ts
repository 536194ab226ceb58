import type { Problem } from '../config/located-error.ts';
import { FORBIDDEN_ACTIONS, type ForbiddenAction } from '../contracts/forbidden-actions.ts';
import { FORBIDDEN_RULES, type ForbiddenRule } from './forbidden-rules.ts';
import type { ParsedScript } from './parse-script.ts';
import type { SqlFragment } from './sql-fragment.ts';
import { findFunctionCalls, findNodes } from './walk-tree.ts';

export interface ForbiddenActionsLint {
  /** What is done although the manifest does not lift it. */
  readonly problems: readonly Problem[];
  /** Lifted actions that the files were seen to take. */
  readonly taken: ReadonlySet<ForbiddenAction>;
}

/**
 * Looks for forbidden actions in the files of one macro that run forward. The body of a routine counts when
 * one of these files, or a body that counts, calls it: to define something is not to do it.
 */
export function lintForbiddenActions(
  scripts: readonly ParsedScript[],
  lifts: readonly ForbiddenAction[],
  rules: readonly ForbiddenRule[] = FORBIDDEN_RULES,
): ForbiddenActionsLint {
  const taken = new Set<ForbiddenAction>();
  const problems = new Map<string, Problem>();
  for (const { path, fragment } of executedFragments(scripts)) {
    for (const rule of rules) {
      for (const location of rule.find(fragment.tree)) {
        taken.add(rule.action);
        if (lifts.includes(rule.action)) continue;
        const problem = toProblem(rule, path, fragment, location);
        problems.set(`${rule.name} ${path} ${problem.line} ${problem.column}`, problem);
      }
    }
  }
  return { problems: [...problems.values()], taken };
}

function toProblem(
  rule: ForbiddenRule,
  file: string,
  fragment: SqlFragment,
  location: number | null,
): Problem {
  return {
    code: 'script_forbidden_action',
    file,
    ...fragment.locate(location),
    what: `This ${rule.sentence} (rule ${rule.name}), and the macro does not lift it.`,
    expected: `Remove it, or add ${rule.action} to lifts: ${FORBIDDEN_ACTIONS[rule.action]}.`,
  };
}

interface Located {
  readonly path: string;
  readonly fragment: SqlFragment;
}

function executedFragments(scripts: readonly ParsedScript[]): Located[] {
  const every = scripts.flatMap(({ path, fragments }) => fragments.map((fragment) => ({ path, fragment })));
  const executed = every.filter(({ fragment }) => fragment.scope !== 'routine');
  const waiting = new Map<string, Located[]>();
  for (const one of every) {
    if (one.fragment.scope !== 'routine') continue;
    waiting.set(one.fragment.routine, [...(waiting.get(one.fragment.routine) ?? []), one]);
  }
  for (let index = 0; index < executed.length; index += 1) {
    for (const name of calledRoutines(executed[index]?.fragment.tree)) {
      executed.push(...(waiting.get(name) ?? []));
      waiting.delete(name);
    }
  }
  return executed;
}

function calledRoutines(tree: unknown): string[] {
  return findFunctionCalls(tree).map(({ funcname }) => findNodes(funcname, 'String').at(-1)?.sval ?? '');
}
