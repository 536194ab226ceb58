import { sayCount, sayNumber } from '../../evidence/say-quantity.ts';
import type { Result } from './result.ts';
import { standaloneSvg } from './standalone-svg.ts';

const BAR_HEIGHT = 38;

export interface RateWords {
  /** What is counted, such as `Events per second`. */
  readonly title: string;
  /** What contestants are called where people read it. */
  readonly names: Readonly<Record<string, string>>;
  /** The contestant that is this project's. */
  readonly ours: string;
}

/** Median rates as bars, the fastest on top. */
export function drawRates({ median, rounds, settings }: Result, { title, names, ours }: RateWords): string {
  const bars = Object.entries(median).sort(([, a], [, b]) => a - b);
  const fastest = Math.max(...Object.values(median));
  return standaloneSvg({
    width: 800,
    height: bars.length * BAR_HEIGHT + 92,
    label: `${title}: ${bars.map(([name, rate]) => `${names[name] ?? name} ${rate}`).join(', ')}`,
    option: {
      title: {
        text: title,
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
        data: bars.map(([name]) => names[name] ?? name),
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
            itemStyle: { color: name === ours ? 'var(--ours)' : 'var(--others)', borderRadius: 3 },
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
