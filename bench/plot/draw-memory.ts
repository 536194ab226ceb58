import { sayCount } from '../../evidence/say-quantity.ts';
import type { Result } from './result.ts';
import { standaloneSvg } from './standalone-svg.ts';

const LINES = [
  { figure: 'rssMb', name: 'resident', colour: 'var(--others)' },
  { figure: 'heapMb', name: 'heap after a collection', colour: 'var(--ours)' },
] as const;

export interface MemoryWords {
  /** What is counted, in the plural, as the samples name it. */
  readonly counted: string;
  /** Whose memory it is. */
  readonly process: string;
}

/** MiB of a process over what it has done. */
export function drawMemory({ rounds: samples, settings }: Result, { counted, process }: MemoryWords): string {
  const axis = {
    axisLine: { lineStyle: { color: 'var(--line)' } },
    axisTick: { show: false },
    nameTextStyle: { color: 'var(--muted)', fontSize: 12 },
  };
  const label = { color: 'var(--muted)', fontSize: 12 };
  return standaloneSvg({
    width: 800,
    height: 300,
    label: `Memory over ${sayCount(Number(settings.events))} ${counted}, in MiB`,
    option: {
      title: {
        text: `MiB of the ${process}`,
        left: 16,
        top: 10,
        textStyle: { color: 'var(--text)', fontSize: 15 },
      },
      legend: {
        right: 16,
        top: 14,
        itemGap: 28,
        icon: 'circle',
        itemHeight: 9,
        textStyle: { color: 'var(--text)', fontSize: 13 },
      },
      grid: { left: 48, right: 24, top: 60, bottom: 52 },
      xAxis: {
        ...axis,
        type: 'value',
        name: `thousand ${counted}`,
        nameLocation: 'middle',
        nameGap: 30,
        min: 0,
        max: Number(settings.events),
        axisLabel: { ...label, formatter: (value: number) => String(value / 1_000) },
        splitLine: { show: false },
      },
      yAxis: {
        ...axis,
        type: 'value',
        min: 0,
        axisLabel: label,
        splitLine: { lineStyle: { color: 'var(--line)' } },
      },
      series: LINES.map(({ figure, name, colour }) => ({
        name,
        type: 'line' as const,
        data: samples.map((sample) => [sample[counted] ?? 0, sample[figure] ?? 0]),
        symbol: 'circle',
        symbolSize: 8,
        itemStyle: { color: colour },
        lineStyle: { color: colour, width: 2 },
      })),
    },
  });
}
