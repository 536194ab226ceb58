import type { SnapshotFacts } from './hold-snapshot.ts';

/** The part of a receipt that the snapshot itself says. */
export function receiptFacts(facts: SnapshotFacts) {
  return {
    database: facts.database,
    systemIdentifier: facts.systemIdentifier,
    serverVersion: facts.serverVersion,
    serverMajor: facts.serverMajor,
    snapshotXmin: facts.snapshotXmin,
    takenAt: facts.takenAt,
    databaseBytes: facts.databaseBytes,
    locale: facts.locale,
    roles: facts.roles,
  };
}
