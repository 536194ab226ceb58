import pg from 'pg';
import { createDatabase, type TestDatabase } from '../../support/create-database.ts';
import { applyFile } from './run-file.ts';

export const BASE_FILES = [
  'sql/iu-core/roles/iu_core_roles.sql',
  'sql/iu-core/migrations/001_dot_config.sql',
  'sql/iu-core/migrations/002_event_outbox.sql',
  'sql/iu-core/migrations/003_emit_event.sql',
];
export const UNIT_FILES = ['sql/iu-core/migrations/004_information_unit.sql'];
export const WORKER_FILES = [
  'sql/iu-core/migrations/008_route_worker_substrate.sql',
  'sql/iu-core/functions/gates.sql',
  'sql/iu-core/functions/delivery_seam.sql',
  'sql/iu-core/functions/subject_order.sql',
  'sql/iu-core/functions/route_decide.sql',
  'sql/iu-core/functions/route_worker_pass.sql',
  'sql/iu-core/functions/route_worker_claim.sql',
  'sql/iu-core/functions/single_steps.sql',
  'sql/iu-core/functions/held_release.sql',
  'sql/iu-core/functions/route_worker_run.sql',
  'sql/iu-core/functions/blocked_release.sql',
  'sql/iu-core/functions/dead_letter_replay.sql',
  'sql/iu-core/functions/dead_letter_change.sql',
  'sql/iu-core/functions/partitions.sql',
  'sql/iu-core/functions/retention.sql',
  'sql/iu-core/functions/worker_health.sql',
  'sql/iu-core/functions/conservation.sql',
  'sql/iu-core/functions/outbox_rebase.sql',
  'sql/iu-core/migrations/009_route_worker_functions.sql',
  'sql/iu-core/runtime/060_route_worker_register_inert.sql',
];
export const SEAM_FILES = [
  'sql/iu-core/migrations/010_delivery_seam.sql',
  'sql/iu-core/functions/delivery_dispatch.sql',
  'sql/iu-core/functions/delivery_breaker.sql',
  'sql/iu-core/functions/delivery_claim.sql',
  'sql/iu-core/functions/delivery_settle.sql',
  'sql/iu-core/migrations/011_live_route_guard.sql',
];
export const REPLAY_FILES = [
  'sql/iu-core/migrations/012_dead_letter_replay.sql',
  'sql/iu-core/functions/replay_plan.sql',
  'sql/iu-core/functions/replay_open.sql',
  'sql/iu-core/functions/replay_step.sql',
  'sql/iu-core/functions/replay_steer.sql',
  'sql/iu-core/functions/replay_report.sql',
  'sql/iu-core/functions/replay_policy.sql',
];
export const ENABLE = 'sql/iu-core/runtime/090_route_worker_enable.sql';

/** The file that takes another one back. */
export function undoOf(path: string): string {
  return path
    .replace(/(migrations|runtime|roles)\//, 'rollback/')
    .replace('iu-core/functions/', 'iu-core/rollback/functions/');
}

/** The files of each level, in the order in which they are applied. */
export const LEVELS = {
  outbox: BASE_FILES,
  inert: [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES],
  live: [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE],
  delivering: [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE, ...SEAM_FILES],
  replaying: [...BASE_FILES, ...UNIT_FILES, ...WORKER_FILES, ENABLE, ...SEAM_FILES, ...REPLAY_FILES],
};

/**
 * A database with 001–003 (`outbox`), with the worker registered (`inert`), with its gate open (`live`), with the
 * delivery seam built beside it, its own gates still closed (`delivering`), or with planned replays too (`replaying`).
 */
export async function installed(major: 15 | 18, level: keyof typeof LEVELS): Promise<TestDatabase> {
  return createDatabase({
    major,
    prefix: `sql_${level}`,
    template: {
      name: `iu_core_${level}`,
      build: async (url) => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        try {
          for (const path of LEVELS[level]) await applyFile(client, path);
        } finally {
          await client.end();
        }
      },
    },
  });
}
