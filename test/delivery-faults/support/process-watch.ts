import { readdirSync, readFileSync } from 'node:fs';
import { type Canary, canariesIn } from './canary-search.ts';

/** What `ps` shows: looked at again and again while something goes on. */
export interface ProcessWatch {
  /** Secrets in the arguments of any process. */
  readonly inArguments: ReadonlySet<string>;
  /** Secrets in the environment of a process that this one started, by its arguments. */
  readonly inEnvironment: ReadonlyMap<string, ReadonlySet<string>>;
  /** How many processes were seen. */
  readonly seen: number;
  stop(): void;
}

const EVERY_MS = 200;

export function watchProcesses(canaries: readonly Canary[]): ProcessWatch {
  const inArguments = new Set<string>();
  const inEnvironment = new Map<string, Set<string>>();
  const seen = new Set<string>();
  const look = (): void => {
    const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const parents = new Map(all.map((pid) => [pid, parentOf(pid)]));
    for (const pid of all) {
      const args = read(pid, 'cmdline').replaceAll('\0', ' ').trim();
      if (!seen.has(`${pid} ${args}`))
        for (const found of canariesIn(args, canaries)) inArguments.add(`${args.slice(0, 40)}: ${found}`);
      seen.add(`${pid} ${args}`);
      if (!descends(pid, parents)) continue;
      for (const found of canariesIn(read(pid, 'environ'), canaries)) {
        inEnvironment.set(args, (inEnvironment.get(args) ?? new Set()).add(found.split(',')[0] ?? ''));
      }
    }
  };
  const timer = setInterval(look, EVERY_MS);
  look();
  return {
    inArguments,
    inEnvironment,
    get seen() {
      return seen.size;
    },
    stop: () => clearInterval(timer),
  };
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function parentOf(pid: string): string {
  return /^PPid:\s+(\d+)$/m.exec(read(pid, 'status'))?.[1] ?? '0';
}

function descends(pid: string, parents: ReadonlyMap<string, string>): boolean {
  for (let one = parents.get(pid); one !== undefined && one !== '0'; one = parents.get(one)) {
    if (one === String(process.pid)) return true;
  }
  return false;
}
