import { readdir, readFile } from 'node:fs/promises';
import type { BenchServer } from '../drain/start-server.ts';
import { withClient } from '../drain/with-client.ts';

/** Linux counts in hundredths of a second, whatever the kernel's own clock. */
const TICKS_A_SECOND = 100;

/** CPU time so far, in seconds. */
export interface CpuSeconds {
  /** This process, all its threads. */
  readonly node: number;
  /** The server with all its processes, those that have ended included; 0 where there is no /proc. */
  readonly postgres: number;
}

export async function cpuSeconds(server: BenchServer): Promise<CpuSeconds> {
  const { user, system } = process.cpuUsage();
  return { node: (user + system) / 1_000_000, postgres: await ofServer(server).catch(() => 0) };
}

async function ofServer(server: BenchServer): Promise<number> {
  const postmaster = await withClient(server.adminUrl, async (client) => {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return (await statOf(String(rows[0]?.pid))).parent;
  });
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => statOf(pid).catch(() => undefined)));
  const { own, reaped } = await statOf(postmaster);
  const children = stats.reduce((sum, stat) => sum + (stat?.parent === postmaster ? stat.own : 0), 0);
  return (own + reaped + children) / TICKS_A_SECOND;
}

interface Stat {
  readonly parent: string;
  /** Ticks of the process itself. */
  readonly own: number;
  /** Ticks of its children that have ended. */
  readonly reaped: number;
}

async function statOf(pid: string): Promise<Stat> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = (at: number) => Number(fields[at]);
  return { parent: fields[1] ?? '', own: ticks(11) + ticks(12), reaped: ticks(13) + ticks(14) };
}
