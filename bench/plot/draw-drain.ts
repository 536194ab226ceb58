import { sayCount, sayNumber } from '../../evidence/say-quantity.ts';
import type { Result } from './result.ts';
import { standaloneSvg } from './standalone-svg.ts';

const BAR_HEIGHT = 38;

/** What the contestants of `bench drain` are called where people read it. */
export const CONTESTANTS: Readonly<Record<string, string>> = {
  raw: 'bare insert … select',
  drain: 'route worker',
  river: 'River',
  'graphile-worker': 'graphile-worker',
  'graphile-worker-fastest': 'graphile-worker, fastest',
  'pg-boss': 'pg-boss',
  'pg-boss-fastest': 'pg-boss, fastest',
};

/** Median rates as bars, the fastest on top. */
export function drawDrain({ median, rounds, settings }: Result): string {
  const bars = Object.entries(median).sort(([, a], [, b]) => a - b);
  const fastest = Math.max(...Object.values(median));
  return standaloneSvg({
    width: 800,
    height: bars.length * BAR_HEIGHT + 92,
    label: `Events per second: ${bars.map(([name, rate]) => `${CONTESTANTS[name] ?? name} ${rate}`).join(', ')}`,
    option: {
      title: {
        text: 'Events per second',
        subtext: `${sayCount(Number(settings.events))} events each, median of ${sayNumber(rounds.length, 'round')}, fsync on`,
        left: 16,
        top: 10,
        itemGap: 4,
        textStyle: { color: 'var(--text)', fontSize: 15 },
        subtextStyle: { color: 'var(--muted)', fontSize: 12 },
      },
      grid: { left: 180, right: 90, top: 60, bottom: 14 },
      xAxis: { type: 'value', show: false, max: fastest },
      yAxis: {
        type: 'category',
        data: bars.map(([name]) => CONTESTANTS[name] ?? name),
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { color: 'var(--text)', fontSize: 13 },
      },
      series: [
        {
          type: 'bar',
          barWidth: 22,
          data: bars.map(([name, rate]) => ({
            value: rate,
            itemStyle: { color: name === 'drain' ? 'var(--ours)' : 'var(--others)', borderRadius: 3 },
          })),
          label: {
            show: true,
            position: 'right',
            color: 'var(--text)',
            fontSize: 13,
            formatter: ({ value }) => sayCount(Math.round(Number(value))),
          },
        },
      ],
    },
  });
}
