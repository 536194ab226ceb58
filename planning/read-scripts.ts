import path from 'node:path';
import type { Problem } from '../config/located-error.ts';
import type { ForbiddenAction } from '../contracts/forbidden-actions.ts';
import { FORBIDDEN_RULES } from './forbidden-rules.ts';
import { lintForbiddenActions } from './lint-forbidden-actions.ts';
import { inspectScript, type ParsedScript } from './parse-script.ts';
import { type ReadManifest, shownPath } from './read-manifest.ts';
import { readScriptFile } from './read-script-file.ts';
import { type ScriptMention, scriptMentions } from './script-mentions.ts';

/** The files that a manifest names, each read and parsed once. */
export interface ReadScripts {
  /** By absolute path. */
  readonly texts: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
  /** Forbidden actions that the files were seen to take. */
  readonly taken: ReadonlySet<ForbiddenAction>;
  readonly notes: readonly string[];
}

/** Reads and checks every file of a manifest; all problems are returned, in the order of the manifest. */
export async function readScripts(read: ReadManifest): Promise<ReadScripts> {
  const texts = new Map<string, string>();
  const parsed = new Map<string, ParsedScript>();
  const problems: Problem[] = [];
  const mentions = scriptMentions(read.manifest);
  const unreadable = new Set<string>();
  for (const mention of mentions) {
    const absolute = scriptPath(read, mention.file);
    if (texts.has(absolute) || unreadable.has(absolute)) continue;
    const shown = shownPath(absolute);
    const content = await readScriptFile(absolute);
    if (typeof content !== 'string') {
      const { missing, ...fault } = content;
      if (!missing) unreadable.add(absolute);
      problems.push(
        missing
          ? {
              ...fault,
              code: 'script_missing',
              file: read.shownAs,
              ...read.locate(mention.at),
              what: `\`${mention.file}\` ${fault.what}.`,
            }
          : { ...fault, code: 'script_syntax', file: shown },
      );
      continue;
    }
    texts.set(absolute, content);
    const inspected = await inspectScript(shown, content);
    parsed.set(absolute, inspected.script);
    problems.push(...inspected.problems);
  }
  const inRole = (...roles: ScriptMention['role'][]): ParsedScript[] => {
    const paths = mentions
      .filter(({ role }) => roles.includes(role))
      .map(({ file }) => scriptPath(read, file));
    return [...new Set(paths)].flatMap((absolute) => parsed.get(absolute) ?? []);
  };
  for (const mention of mentions) {
    const script = parsed.get(scriptPath(read, mention.file));
    if (script !== undefined) problems.push(...faultsInRole(script, mention, read));
  }
  const { lifts } = read.manifest;
  const forward = lintForbiddenActions(inRole('change', 'outside', 'read'), lifts);
  const secretRules = FORBIDDEN_RULES.filter((rule) => rule.action === 'secret-exposure');
  const backward = lintForbiddenActions(inRole('undo'), lifts, secretRules);
  return {
    texts,
    problems: [...problems, ...forward.problems, ...backward.problems],
    taken: new Set([...forward.taken, ...backward.taken]),
    notes: [...parsed.values()].flatMap((script) => script.notes),
  };
}

/** Absolute path of a file that a manifest names. */
export function scriptPath(read: Pick<ReadManifest, 'path'>, file: string): string {
  return path.resolve(path.dirname(read.path), file);
}

/** A file outside a transaction holds one statement; every other file runs in one. */
function faultsInRole(script: ParsedScript, mention: ScriptMention, read: ReadManifest): Problem[] {
  const code = 'script_transaction_control';
  if (mention.role === 'outside') {
    if (script.statementCount === 1 || script.statementCount === 0) return [];
    const what = `The file has ${script.statementCount} statements, though done_when says that it runs outside a transaction.`;
    return [
      { code, file: script.path, line: 1, column: 1, what, expected: 'Keep exactly one statement in it.' },
    ];
  }
  return script.outside.map(({ name, position }) => {
    const { line } = read.locate(mention.at);
    const expected =
      mention.role === 'change'
        ? `Put it alone in a file, and add done_when: to it at ${read.shownAs}:${line}.`
        : `Use a form that can run in a transaction; ${read.shownAs}:${line} names the file where only that is possible.`;
    return { code, file: script.path, ...position, what: `${name} cannot run in a transaction.`, expected };
  });
}
