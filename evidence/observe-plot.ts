import type { Verdict } from '../contracts/verdict.ts';
import { drawSvg } from './draw-svg.ts';
import type { ObservationEvidence } from './evidence-document.ts';
import { sayCount, sayDuration } from './say-quantity.ts';
import { niceInterval } from './step-gantt.ts';

const COLOUR: Readonly<Record<Verdict, string>> = {
  pass: 'var(--pass)',
  fail: 'var(--fail)',
  inconclusive: 'var(--inconclusive)',
  not_run: 'var(--muted)',
};

interface LimitLine {
  readonly value: number;
  readonly text: string;
  readonly colour: string;
}

/** A metric over its window with its limits, as SVG. A limit far outside the values is told in `offScale` instead. */
export function observePlot(
  observation: ObservationEvidence,
  shape: 'wide' | 'narrow',
): { readonly svg: string; readonly offScale: readonly string[] } {
  const begin = Date.parse(observation.samples[0]?.at ?? '');
  const points = observation.samples.map((sample) => ({ ...sample, ms: Date.parse(sample.at) - begin }));
  const values = points.flatMap((point) => (point.value === null ? [] : [point.value]));
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const reach = Math.max(high - low, 1) * 2;
  const limits = limitLines(observation);
  const shown = limits.filter((limit) => limit.value <= high + reach && limit.value >= low - reach);
  const bounds = [low, high, ...shown.map((limit) => limit.value)];
  const width = shape === 'wide' ? 1_000 : 380;
  const total = Math.max(points.at(-1)?.ms ?? 1, 1);
  const few = points.length <= 240;
  const svg = drawSvg({
    width,
    height: 190,
    label: `${observation.metric} over ${sayDuration(total)}, ${points.length} samples`,
    option: {
      grid: { left: 52, right: shape === 'wide' ? 110 : 20, top: 18, bottom: 28 },
      xAxis: {
        type: 'value',
        min: 0,
        max: total,
        interval: niceInterval(total / (shape === 'wide' ? 9 : 3)),
        axisLabel: {
          color: 'var(--muted)',
          fontSize: 11,
          hideOverlap: true,
          formatter: (value: number) => (value === 0 ? '0' : `+${sayDuration(value)}`),
        },
        splitLine: { show: false },
        axisLine: { lineStyle: { color: 'var(--line-strong)' } },
      },
      yAxis: {
        type: 'value',
        min: Math.min(...bounds),
        max: Math.max(...bounds) > Math.min(...bounds) ? Math.max(...bounds) : Math.min(...bounds) + 1,
        splitNumber: 4,
        axisLabel: { color: 'var(--muted)', fontSize: 11, formatter: (value: number) => sayCount(value) },
        splitLine: { lineStyle: { color: 'var(--line)' } },
      },
      series: [
        {
          type: 'line',
          data: points.map((point) => ({
            value: [point.ms, point.value ?? '-'],
            itemStyle: { color: COLOUR[point.verdict] },
          })),
          symbol: 'circle',
          symbolSize: few ? 5 : 0,
          showSymbol: few,
          ...(few ? {} : { sampling: 'lttb' as const }),
          lineStyle: { color: 'var(--do)', width: 1.5 },
          clip: false,
          markLine: {
            silent: true,
            symbol: 'none',
            data: shown.map((limit) => ({
              yAxis: limit.value,
              lineStyle: { color: limit.colour, type: 'dashed', width: 1.5 },
              label: {
                formatter: limit.text,
                color: limit.colour,
                fontSize: 11,
                position: shape === 'wide' ? 'end' : 'insideEndTop',
              },
            })),
          },
        },
        ...(few
          ? []
          : [
              {
                type: 'scatter' as const,
                symbolSize: 5,
                data: points
                  .filter((point) => point.verdict !== 'pass' && point.value !== null)
                  .map((point) => ({
                    value: [point.ms, point.value],
                    itemStyle: { color: COLOUR[point.verdict] },
                  })),
              },
            ]),
      ],
    },
  });
  return { svg, offScale: limits.filter((limit) => !shown.includes(limit)).map((limit) => limit.text) };
}

function limitLines({ pass, fail }: ObservationEvidence): LimitLine[] {
  const lines: LimitLine[] = [];
  const add = (word: string, side: string, value: number | undefined, colour: string) => {
    if (value !== undefined) lines.push({ value, text: `${word} ${side} ${sayCount(value)}`, colour });
  };
  add('pass', '≥', pass.min, 'var(--pass)');
  add('pass', '≤', pass.max, 'var(--pass)');
  add('fail', '<', fail?.min, 'var(--fail)');
  add('fail', '>', fail?.max, 'var(--fail)');
  return lines;
}
