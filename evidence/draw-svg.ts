import { type EChartsOption, init } from 'echarts';

export interface Drawing {
  /** Pixels of the view box; the page scales it to its width. */
  readonly width: number;
  readonly height: number;
  /** What the picture shows, for those who do not see it. */
  readonly label: string;
  readonly option: EChartsOption;
}

/**
 * Draws a chart as an SVG element to be put into a page as it is: no script, no style sheet, no ids. Colours are
 * CSS variables of the page, so that light, dark and print are the page's business.
 */
export function drawSvg({ width, height, label, option }: Drawing): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({ animation: false, backgroundColor: 'transparent', ...option });
    return chart
      .renderToSVGString()
      .replace(/<style[\s\S]*?<\/style>/g, '')
      .replace(/<defs[\s\S]*?<\/defs>/g, '')
      .replace(
        / (?:clip-path="[^"]*"|class="zr[^"]*"|ecmeta_\w+="[^"]*"|xmlns:xlink="[^"]*"|baseProfile="\w+"|version="1\.1")/g,
        '',
      )
      .replaceAll('font-family:sans-serif', 'font-family:inherit')
      .replace(
        /^<svg width="\d+" height="\d+"/,
        `<svg role="img" aria-label="${escapeAttribute(label)}" style="max-width:${width}px"`,
      );
  } finally {
    chart.dispose();
  }
}

function escapeAttribute(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
