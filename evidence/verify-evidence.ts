import { z } from 'zod';
import type { Plan } from '../contracts/plan.ts';
import type { Verdict } from '../contracts/verdict.ts';
import { sha256Hex } from '../planning/sha256-hex.ts';
import { deriveEvidence } from './derive-evidence.ts';
import { type Difference, differences } from './differences.ts';
import { EVIDENCE_FORMAT, type Evidence } from './evidence-document.ts';
import { checkChain, type EvidenceProblem } from './hash-chain.ts';
import { pinnedScripts } from './pinned-scripts.ts';
import { summariseEvidence } from './summarise-evidence.ts';

export interface EvidenceVerification {
  /** True only for the verdict `pass`. */
  readonly ok: boolean;
  /** `inconclusive`: nothing contradicts, but redacted places cannot be computed again from the file. */
  readonly verdict: Verdict;
  /** Rows of all chains in the file. */
  readonly rows: number;
  /** Hash of the run's last row; compare it with the target's to know that the chain was not written anew. */
  readonly head: string | null;
  /** First bad row first. */
  readonly problems: readonly EvidenceProblem[];
}

const chainRow = z.object({
  seq: z.number(),
  source: z.string(),
  payload: z.string(),
  prevHash: z.string(),
  hash: z.string(),
  redacted: z.literal(true).exactOptional(),
});
const provable = z.looseObject({
  format: z.literal(EVIDENCE_FORMAT),
  run: z.looseObject({ runId: z.string(), planHash: z.string() }),
  plan: z.looseObject({
    hash: z.string(),
    canonical: z.string(),
    redacted: z.literal(true).exactOptional(),
    scripts: z.array(
      z.looseObject({
        path: z.string(),
        sha256: z.string(),
        body: z.string().nullable(),
        redacted: z.literal(true).exactOptional(),
      }),
    ),
  }),
  chain: z.array(chainRow),
  relatedChains: z.array(z.object({ runId: z.string(), rows: z.array(chainRow) })),
});

/** Most problems that are told; the first is the one that counts. */
const TOLD = 50;

/**
 * Checks a report's JSON offline: every hash and link, the plan's and the texts' digests, and that everything
 * the document says of the run is what chains and plan say. Not covered: what stands under `atCollection`, and
 * a chain that somebody wrote anew from its beginning (compare `head` with the target).
 */
export function verifyEvidence(json: string): EvidenceVerification {
  const problems: EvidenceProblem[] = [];
  const say = (path: string, what: string, nature: EvidenceProblem['nature'] = 'mismatch') =>
    problems.push({ runId: null, seq: null, path, what, nature });
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    say('', `The file is not JSON: ${error instanceof Error ? error.message : String(error)}`);
    return conclude(problems, 0, null);
  }
  const shape = provable.safeParse(parsed);
  if (!shape.success) {
    for (const issue of shape.error.issues)
      say(issue.path.join('.'), `Not a document ${EVIDENCE_FORMAT}: ${issue.message}`);
    return conclude(problems, 0, null);
  }
  const document = shape.data;
  const { run, plan, chain, relatedChains } = document;
  problems.push(...checkChain(run.runId, chain));
  for (const other of relatedChains) problems.push(...checkChain(other.runId, other.rows));

  if (plan.redacted === true)
    say('plan.canonical', 'The plan was redacted, so its hash cannot be computed.', 'redacted');
  else if (sha256Hex(plan.canonical) !== plan.hash)
    say('plan.canonical', 'The plan is not the text of its hash.');
  for (const [index, script] of plan.scripts.entries()) {
    const at = `plan.scripts[${index}]`;
    if (script.body === null) say(`${at}.body`, `The text of ${script.path} is missing.`);
    else if (script.redacted === true)
      say(`${at}.body`, `The text of ${script.path} was redacted.`, 'redacted');
    else if (sha256Hex(script.body) !== script.sha256)
      say(`${at}.body`, `The text of ${script.path} is not that of its sha256.`);
  }
  try {
    problems.push(...compareDerived(parsed as Evidence));
  } catch (error) {
    say('chain', error instanceof Error ? error.message : String(error));
  }
  const rows = chain.length + relatedChains.reduce((sum, other) => sum + other.rows.length, 0);
  return conclude(problems, rows, chain.at(-1)?.hash ?? null);
}

function compareDerived(document: Evidence): EvidenceProblem[] {
  const { run, plan, chain, relatedChains } = document;
  const derived = deriveEvidence({ runId: run.runId, chain, relatedChains, canonical: plan.canonical });
  const expected = { ...derived, summary: summariseEvidence(derived) };
  const scripts = pinnedScripts(JSON.parse(plan.canonical) as Plan);
  const told = plan.scripts.map(({ stepId, role, path, sha256 }) => ({ stepId, role, path, sha256 }));
  const isKnown = new Set(scripts.map((script) => script.sha256));
  const foreign = [...derived.steps, ...derived.disable, ...derived.unplanned].flatMap((step) =>
    step.receipts.filter((receipt) => receipt.scriptSha256 !== null && !isKnown.has(receipt.scriptSha256)),
  );
  const found: Difference[] = [
    ...Object.entries(expected).flatMap(([key, value]) =>
      differences(key, value, document[key as keyof Evidence]),
    ),
    ...differences('plan.scripts', scripts, told),
    ...differences('plan.hash', derived.run.planHash, plan.hash),
  ];
  return [
    ...found.map(({ path, what }) => ({ runId: null, seq: null, path, what, nature: 'mismatch' as const })),
    ...foreign.map((receipt) => ({
      runId: null,
      seq: null,
      path: receipt.part,
      what: `A receipt names the text ${receipt.scriptSha256}, which the plan does not pin.`,
      nature: 'mismatch' as const,
    })),
  ];
}

function conclude(problems: EvidenceProblem[], rows: number, head: string | null): EvidenceVerification {
  const mismatches = problems.filter((problem) => problem.nature === 'mismatch');
  const ordered = [...mismatches, ...problems.filter((problem) => problem.nature === 'redacted')];
  const verdict = mismatches.length > 0 ? 'fail' : problems.length > 0 ? 'inconclusive' : 'pass';
  return { ok: verdict === 'pass', verdict, rows, head, problems: ordered.slice(0, TOLD) };
}
