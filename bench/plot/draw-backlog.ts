import type { SeriesOption } from 'echarts';
import { sayCount, sayNumber } from '../../evidence/say-quantity.ts';
import type { Result } from './result.ts';
import { standaloneSvg } from './standalone-svg.ts';

const LANES = [
  { lane: 'raw', name: 'bare insert … select', colour: 'var(--others)' },
  { lane: 'worker', name: 'route worker', colour: 'var(--ours)' },
] as const;

export interface Point {
  readonly count: number;
  readonly ms: number;
}

/** The figures of one lane by the number of events ahead of it, or of attempts behind it, ascending. */
export function pointsOf(
  figures: Readonly<Record<string, number>>,
  lane: 'worker' | 'raw',
  side: 'Ahead' | 'Behind',
): Point[] {
  return Object.entries(figures)
    .flatMap(([name, ms]) => {
      const count = new RegExp(`^${lane}${side}(\\d+)$`).exec(name)?.[1];
      return count === undefined ? [] : [{ count: Number(count), ms }];
    })
    .sort((a, b) => a.count - b.count);
}

/** Milliseconds per 1,000 events over the backlog, and over the attempts behind it; rounds as dots, medians as lines. */
export function drawBacklog({ median, rounds, settings }: Result): string {
  const all = rounds.flatMap((one) => Object.values(one));
  const sizes = pointsOf(median, 'worker', 'Ahead').map(({ count }) => count);
  const behind = pointsOf(median, 'worker', 'Behind').map(({ count }) => count);
  const top = Math.ceil(Math.max(...all) * 1.1);
  const axis = {
    nameLocation: 'middle' as const,
    nameGap: 30,
    nameTextStyle: { color: 'var(--muted)', fontSize: 12 },
    axisLine: { lineStyle: { color: 'var(--line)' } },
    axisTick: { show: false },
    axisLabel: {
      color: 'var(--muted)',
      fontSize: 12,
      formatter: (value: number | string) => short(Number(value)),
    },
    splitLine: { show: false },
  };
  const ms = (isShown: boolean) => ({
    type: 'value' as const,
    min: 0,
    max: top,
    axisLabel: { show: isShown, color: 'var(--muted)', fontSize: 12 },
    splitLine: { lineStyle: { color: 'var(--line)' } },
  });
  const lines = LANES.flatMap(({ lane, name, colour }): SeriesOption[] =>
    (['Ahead', 'Behind'] as const).flatMap((side, at): SeriesOption[] => {
      const place = ({ count, ms: value }: Point) => [at === 0 ? count : String(count), value];
      const where = { name, xAxisIndex: at, yAxisIndex: at, itemStyle: { color: colour } };
      return [
        {
          ...where,
          type: 'line',
          data: pointsOf(median, lane, side).map(place),
          symbol: 'circle',
          symbolSize: 8,
          lineStyle: { color: colour, width: 2 },
        },
        {
          ...where,
          type: 'scatter',
          data: rounds.flatMap((one) => pointsOf(one, lane, side).map(place)),
          symbolSize: 5,
          itemStyle: { color: colour, opacity: 0.45 },
        },
      ];
    }),
  );
  return standaloneSvg({
    width: 800,
    height: 340,
    label: `Milliseconds per 1,000 events at backlogs of ${sizes.map(sayCount).join(', ')} events`,
    option: {
      title: {
        text: 'Milliseconds per 1,000 events',
        subtext: `batches of ${sayCount(Number(settings.batch))}, median of ${sayNumber(rounds.length, 'round')}, fsync on`,
        left: 16,
        top: 10,
        itemGap: 4,
        textStyle: { color: 'var(--text)', fontSize: 15 },
        subtextStyle: { color: 'var(--muted)', fontSize: 12 },
      },
      legend: {
        right: 16,
        top: 14,
        itemGap: 28,
        icon: 'circle',
        itemHeight: 9,
        textStyle: { color: 'var(--text)', fontSize: 13 },
      },
      grid: [
        { left: 48, width: 470, top: 70, bottom: 52 },
        { left: 560, right: 24, top: 70, bottom: 52 },
      ],
      xAxis: [
        {
          ...axis,
          type: 'log',
          gridIndex: 0,
          name: 'events ahead of the cursor',
          min: (sizes[0] ?? 1) / 2,
          max: (sizes.at(-1) ?? 10) * 2,
        },
        {
          ...axis,
          type: 'category',
          gridIndex: 1,
          name: 'attempts behind it',
          data: behind.map(String),
        },
      ],
      yAxis: [
        { ...ms(true), gridIndex: 0 },
        { ...ms(false), gridIndex: 1 },
      ],
      series: lines,
    },
  });
}

function short(count: number): string {
  if (count >= 1_000_000) return `${count / 1_000_000} million`;
  return count >= 1_000 ? `${count / 1_000} thousand` : String(count);
}
