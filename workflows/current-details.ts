import type { MacroStatus, StepStatus } from '../contracts/macro-run.ts';

const MARK: Readonly<Record<StepStatus['state'], string>> = {
  pending: '·',
  running: '▶ running',
  waiting: '… waiting',
  done: '✓ done',
  already_applied: '✓ already applied',
  failed: '✗ failed',
  undoing: '↩ undoing',
  undone: '↩ undone',
  undo_failed: '✗ undo failed',
  skipped: '· nothing to undo',
};

/**
 * Markdown for the Temporal UI (User Metadata): where the run stands, what it waits for, and the next safe
 * actions with the JSON to paste. Only names, verdicts and digests: no row data.
 */
export function renderCurrentDetails(status: MacroStatus, requester: string): string {
  return [headline(status), stepTable(status.steps), waitingFor(status, requester), leftToDo(status)]
    .filter((part) => part !== '')
    .join('\n\n');
}

function headline(status: MacroStatus): string {
  const run = status.runNo === null ? 'opening' : `run ${status.runNo}`;
  const cause = status.cause === '' ? '' : `\n\n**Cause:** ${oneLine(status.cause)}`;
  return `**${status.macro ?? 'macro'}** on \`${status.target}\`, ${run}: **${status.outcome ?? status.phase}**${cause}`;
}

function stepTable(steps: readonly StepStatus[]): string {
  if (steps.length === 0) return '';
  const rows = steps.map(
    (step) =>
      `| ${step.id} | ${step.kind} | ${MARK[step.state]} | ${step.state === 'pending' || step.state === 'waiting' ? '' : step.verdict} | ${step.attempts || ''} | ${seconds(step.durationMs)} | ${oneLine(step.detail)} |`,
  );
  return [
    '| step | kind | state | verdict | attempts | time | |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function waitingFor(status: MacroStatus, requester: string): string {
  if (status.outcome !== null) return '';
  const parts: string[] = [];
  const { pendingApproval, held } = status;
  if (pendingApproval !== null) {
    const approval = {
      actor: 'YOUR NAME',
      reason: 'WHY',
      planHash: pendingApproval.planHash,
      fingerprint: pendingApproval.fingerprint,
    };
    parts.push(
      `**Waits for an approval** of step \`${pendingApproval.stepId}\` by somebody other than ${oneLine(requester)}, until ${pendingApproval.expiresAt}. Send the update \`approve\` (or \`reject\`) with:`,
      json(approval),
    );
  }
  if (held !== null) {
    const answer = held.actor === 'sluice' ? 'retryStep' : 'release';
    parts.push(
      `**Held** by ${oneLine(held.actor)}: ${oneLine(held.reason)}. Send the update \`${answer}\` or \`rollback\` with:`,
    );
    parts.push(json({ actor: 'YOUR NAME', reason: 'WHY' }));
  }
  if (parts.length === 0) {
    parts.push(
      '**Safe now:** Cancel rolls the run back; so does the update `rollback`; `hold` stops before the next step. Each takes:',
    );
    parts.push(json({ actor: 'YOUR NAME', reason: 'WHY' }));
  }
  return parts.join('\n\n');
}

function leftToDo(status: MacroStatus): string {
  if (status.leftToDo.length === 0) return '';
  return [
    '**Left to do:**',
    ...status.leftToDo.map((left) => `- ${oneLine(left.what)} → \`${left.how}\``),
  ].join('\n');
}

function json(value: unknown): string {
  // The UI's frame hides the last line of a block, so the block ends with an empty one.
  return `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\n\`\`\``;
}

function seconds(milliseconds: number): string {
  return milliseconds === 0 ? '' : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** One line of a Markdown table: no line breaks, no column separators, at most 200 characters. */
function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').replaceAll('|', '/');
  return flat.length > 200 ? `${flat.slice(0, 199)}…` : flat;
}
