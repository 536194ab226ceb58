import { sha256Hex } from '../planning/sha256-hex.ts';
import type { ChainRow } from './evidence-document.ts';

const FIRST_PREV_HASH = '0'.repeat(64);

/** Something that does not hold. `seq` names the row of the chain, `path` the place in the document. */
export interface EvidenceProblem {
  readonly runId: string | null;
  readonly seq: number | null;
  readonly path: string | null;
  readonly what: string;
  /** `redacted`: it cannot be computed again because a secret was cut out; every other problem is a `mismatch`. */
  readonly nature: 'mismatch' | 'redacted';
}

/** Hash of a row, as `sluice.fn_append_evidence` computes it. */
export function chainHash(prevHash: string, source: string, payload: string): string {
  return sha256Hex(prevHash + source + payload);
}

/** Computes every hash and link of a run's chain again; problems in the order of the rows. */
export function checkChain(runId: string, rows: readonly ChainRow[]): EvidenceProblem[] {
  const problems: EvidenceProblem[] = [];
  let prevHash = FIRST_PREV_HASH;
  rows.forEach((row, index) => {
    const say = (what: string, nature: EvidenceProblem['nature'] = 'mismatch') =>
      problems.push({ runId, seq: row.seq, path: null, what, nature });
    if (row.seq !== index + 1) say(`Row ${index + 1} of the chain carries the number ${row.seq}.`);
    if (row.prevHash !== prevHash) {
      say(
        index === 0
          ? 'The first row does not start the chain.'
          : `Row ${row.seq} does not follow the row before it.`,
      );
    }
    if (row.redacted === true) {
      say(
        `Row ${row.seq} (${row.source}) was redacted, so its hash cannot be computed from this file.`,
        'redacted',
      );
    } else if (chainHash(row.prevHash, row.source, row.payload) !== row.hash) {
      say(`Row ${row.seq} (${row.source}) is not what was hashed: its source or payload was changed.`);
    }
    prevHash = row.hash;
  });
  if (rows.length === 0) {
    problems.push({ runId, seq: null, path: 'chain', what: 'The chain has no rows.', nature: 'mismatch' });
  }
  return problems;
}
