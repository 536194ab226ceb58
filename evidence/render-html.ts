import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Eta } from 'eta';
import type { Evidence, ObservationEvidence } from './evidence-document.ts';
import { ganttBars } from './gantt-bars.ts';
import { observePlot } from './observe-plot.ts';
import { pageSections } from './page-sections.ts';
import { pageStep } from './page-step.ts';
import { reportTitle, sayLater, TONE_SIGN } from './report-words.ts';
import { sayCount, sayDuration, sayNumber, sayTime } from './say-quantity.ts';
import { stepGantt } from './step-gantt.ts';

const PAGE = fileURLToPath(new URL('./page/', import.meta.url));
const eta = new Eta({ views: PAGE, autoEscape: true, cache: true });

/**
 * The report as one HTML page that needs nothing beside it: no script, no request, a content security policy
 * that forbids both. Every text is escaped.
 */
export function renderHtml(evidence: Evidence): string {
  const { summary, atCollection } = evidence;
  return eta.render('./report', {
    title: reportTitle(evidence),
    css: readFileSync(`${PAGE}report.css`, 'utf8'),
    sign: TONE_SIGN[summary.tone],
    summary,
    subline: subline(evidence),
    trueNow: [...summary.trueNow, ...sayLater(evidence)],
    alarm: atCollection.integrity.problems,
    charts: charts(evidence),
    stepGroups: stepGroups(evidence),
    plots: evidence.observations.map((observation) => plot(evidence, observation)),
    sections: pageSections(evidence),
    footer: `Collected ${sayTime(atCollection.collectedAt)} from the records in the target. The JSON beside this page holds every row of the chain.`,
  });
}

function subline({ run }: Evidence): string {
  const took = run.durationMs === null ? '' : `, took ${sayDuration(run.durationMs)}`;
  const ticket = run.ticket === null ? '' : ` (${run.ticket})`;
  return `Started ${sayTime(run.startedAt)}${took}, by ${run.actor.claimed} as claimed: “${run.reason}”${ticket}`;
}

function charts(evidence: Evidence) {
  return [evidence.run, ...evidence.takenBackBy].flatMap((run) => {
    const gantt = ganttBars(evidence, run.runId);
    if (gantt === null) return [];
    const which =
      run.runId === evidence.run.runId ? '' : `Undo run #${run.runNo}, ${sayTime(run.startedAt)}. `;
    const cut = gantt.cuts.length === 0 ? '' : 'Where nothing but waiting happened, the axis is cut.';
    return [
      { caption: `${which}${cut}`, wide: stepGantt(gantt, 'wide'), narrow: stepGantt(gantt, 'narrow') },
    ];
  });
}

function stepGroups(evidence: Evidence) {
  const gantt = ganttBars(evidence, evidence.run.runId);
  const waits = new Map(
    gantt?.bars
      .filter((bar) => bar.kind === 'wait')
      .map((bar) => [gantt.lanes[bar.lane] ?? '', `waited ${sayDuration(bar.toMs - bar.fromMs)}`]),
  );
  const groups = [
    { title: 'Steps', steps: evidence.steps },
    { title: 'Disable runbook', steps: evidence.disable },
    { title: 'Receipts that the plan does not know', steps: evidence.unplanned },
  ];
  return groups
    .filter((group) => group.steps.length > 0)
    .map(({ title, steps }) => ({
      title,
      steps: steps.map((step) => pageStep(evidence, step, waits.get(step.id))),
    }));
}

function plot(evidence: Evidence, observation: ObservationEvidence) {
  const { metric, unit, samples, stepId } = observation;
  const wide = observePlot(observation, 'wide');
  const count = (verdict: string) => samples.filter((sample) => sample.verdict === verdict).length;
  const values = samples.flatMap((sample) => (sample.value === null ? [] : [sample.value]));
  const counts = (['pass', 'inconclusive', 'fail', 'not_run'] as const)
    .filter((verdict) => count(verdict) > 0)
    .map((verdict) => `${count(verdict)} ${verdict.replace('_', ' ')}`);
  const last = values.at(-1);
  const range =
    last === undefined
      ? 'no value'
      : `${sayCount(Math.min(...values))} to ${sayCount(Math.max(...values))}, last ${sayCount(last)}`;
  const rule =
    observation.consecutiveSuccess > 0
      ? ` Rule: the last ${observation.consecutiveSuccess} pass, at most ${observation.failureLimit} fail.`
      : '';
  const off = wide.offScale.length === 0 ? '' : ` Limits off the scale: ${wide.offScale.join(', ')}.`;
  const title = evidence.planDocument.steps.find((step) => step.id === stepId)?.title ?? '';
  return {
    title: `${metric}${unit === '' ? '' : ` (${unit})`}, step ${stepId}${title === '' ? '' : `: ${title}`}`,
    caption: `${sayNumber(samples.length, 'sample')}: ${counts.join(', ')}; ${range}.${rule}${off}`,
    wide: wide.svg,
    narrow: observePlot(observation, 'narrow').svg,
  };
}
