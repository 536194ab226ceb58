import type { CustomSeriesRenderItem } from 'echarts';
import { drawSvg } from './draw-svg.ts';
import type { BarKind, Gantt } from './gantt-bars.ts';
import { sayDuration } from './say-quantity.ts';

const LANE_HEIGHT = 26;
const FILL: Readonly<Record<BarKind, string>> = {
  pass: 'var(--do)',
  fail: 'var(--fail)',
  other: 'var(--inconclusive)',
  undo: 'var(--undo)',
  wait: 'var(--wait)',
  open: 'var(--wait)',
};

/** The step Gantt of one run as SVG; `narrow` is the drawing for a phone. */
export function stepGantt(gantt: Gantt, shape: 'wide' | 'narrow'): string {
  const width = shape === 'wide' ? 1_000 : 380;
  const longest = Math.max(...gantt.lanes.map((lane) => lane.length));
  const left = Math.min(longest * 7.2 + 16, width * 0.4);
  const height = gantt.lanes.length * LANE_HEIGHT + 34;
  const visible = gantt.totalMs - gantt.cuts.reduce((sum, cut) => sum + cut.toMs - cut.fromMs, 0);
  const nice = niceInterval(visible / (shape === 'wide' ? 9 : 3));
  const interval = gantt.cuts.length > 0 ? Math.max(nice, 1_000) : nice;
  const right = Math.max(...gantt.bars.map((bar) => bar.text.length), 4) * 6.4 + 10;
  return drawSvg({
    width,
    height,
    label: `Steps over time, ${sayDuration(gantt.totalMs)} in all`,
    option: {
      grid: { left, right, top: 4, bottom: 28 },
      xAxis: {
        type: 'value',
        min: 0,
        max: gantt.totalMs,
        interval,
        breakLabelLayout: { moveOverlap: false },
        breaks: gantt.cuts.map((cut) => ({
          start: cut.fromMs,
          end: cut.toMs,
          gap: shape === 'wide' ? '4%' : '10%',
        })),
        breakArea: {
          itemStyle: { color: 'none', borderColor: 'var(--line-strong)', opacity: 1 },
          zigzagAmplitude: 3,
        },
        axisLabel: {
          color: 'var(--muted)',
          fontSize: 11,
          hideOverlap: true,
          showMaxLabel: false,
          formatter: (value: number, _index: number, extra?: { break?: { type: string } } | null) =>
            extra?.break?.type === 'start' ? '' : sayTick(gantt, value),
        },
        splitLine: { lineStyle: { color: 'var(--line)' } },
      },
      yAxis: {
        type: 'category',
        inverse: true,
        data: [...gantt.lanes],
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: {
          color: 'var(--text)',
          fontSize: 12,
          width: left - 12,
          overflow: 'truncate',
          interval: 0,
        },
      },
      series: [
        {
          type: 'custom',
          renderItem: bars(gantt),
          data: gantt.bars.map((bar) => [bar.fromMs, bar.lane, bar.toMs]),
        },
        { type: 'custom', renderItem: crosses(), data: gantt.marks.map((mark) => [mark.atMs, mark.lane]) },
      ],
    },
  });
}

function bars(gantt: Gantt): CustomSeriesRenderItem {
  return (params, api) => {
    const bar = gantt.bars[params.dataIndex];
    const from = api.coord([api.value(0), api.value(1)]);
    const to = api.coord([api.value(2), api.value(1)]);
    const x = from[0] ?? 0;
    const y = (from[1] ?? 0) - 7;
    const width = Math.max((to[0] ?? 0) - x, 3);
    const after = gantt.bars.filter((other) => other.lane === bar?.lane && other.fromMs > (bar?.fromMs ?? 0));
    const room = Math.min(
      ...after.map((other) => (api.coord([other.fromMs, other.lane])[0] ?? 0) - x - width),
    );
    const kind = bar?.kind ?? 'other';
    const hollow = kind === 'wait' || kind === 'open';
    return {
      type: 'group',
      children: [
        {
          type: 'rect',
          shape: { x, y, width, height: 14, r: 2 },
          style: {
            fill: FILL[kind],
            stroke: hollow ? 'var(--line-strong)' : 'none',
            lineWidth: hollow ? 1 : 0,
            ...(hollow ? { lineDash: [4, 3] } : {}),
          },
        },
        {
          type: 'text',
          ignore: room < (bar?.text.length ?? 0) * 6.4 + 10,
          style: {
            text: bar?.text ?? '',
            x: x + width + 5,
            y: y + 7,
            verticalAlign: 'middle' as const,
            fontSize: 11,
            fill: 'var(--muted)',
          },
        },
      ],
    };
  };
}

/** A cross where an attempt failed. */
function crosses(): CustomSeriesRenderItem {
  return (_params, api) => {
    const [x = 0, y = 0] = api.coord([api.value(0), api.value(1)]);
    return {
      type: 'path',
      shape: { pathData: 'M-4,-4L4,4M4,-4L-4,4', x: x - 4, y: y - 4, width: 8, height: 8 },
      style: { stroke: 'var(--cross)', lineWidth: 2, fill: 'none' },
    };
  };
}

/** Time since the beginning; where the axis is cut, the time of day, which stays readable after a long wait. */
function sayTick(gantt: Gantt, ms: number): string {
  if (gantt.cuts.length > 0) return new Date(Date.parse(gantt.startedAt) + ms).toISOString().slice(11, 19);
  return ms === 0 ? '0' : `+${sayDuration(ms)}`;
}

/** The next of 1, 2, 5, 10, 15, 30 in milliseconds, seconds, minutes or hours. */
export function niceInterval(ms: number): number {
  const steps = [1, 2, 5, 10, 15, 30];
  const small = [1, 10, 100].flatMap((power) => [1, 2, 5].map((step) => step * power));
  const all = [
    ...small,
    ...[1_000, 60_000].flatMap((unit) => steps.map((step) => step * unit)),
    ...[1, 2, 3, 6, 12, 24, 48, 168, 720].map((hours) => hours * 3_600_000),
  ];
  return all.find((candidate) => candidate >= ms) ?? ms;
}
