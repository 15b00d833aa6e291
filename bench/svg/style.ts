/** Colours of the charts, in light and dark: the eye's own names for engines and operations come by class. */

/** Operations by the first word of a row's name or its op; what is none of them is `other`. */
const OPERATIONS: readonly (readonly [pattern: RegExp, name: string, words: string])[] = [
  [/^(matmul|linear|gemm|gemv|geglu)/, 'product', 'products'],
  [/^conv/, 'conv', 'convolutions'],
  [/^attention/, 'attention', 'attention'],
  [/norm|softmax/, 'norm', 'norms'],
];

/** The class of an operation, and what it is called. */
export function operationOf(op: string): { readonly name: string; readonly words: string } {
  const [, name = 'other', words = 'others'] = OPERATIONS.find(([pattern]) => pattern.test(op)) ?? [];
  return { name, words };
}

/** Class of the n-th engine: 0 is ours. */
export function engineClass(index: number): string {
  return `engine-${Math.min(index, 3)}`;
}

const LIGHT = {
  paper: '#faf8f4',
  ink: '#22262a',
  soft: '#5a6066',
  line: '#ddd8ce',
  bad: '#a32015',
  product: '#1f6f4a',
  conv: '#1c5fd4',
  attention: '#a3460a',
  norm: '#8a2f8f',
  other: '#5a6066',
  engines: ['#23593f', '#7d8288', '#a08d62', '#6f8fb3'],
};
const DARK: typeof LIGHT = {
  paper: '#17191b',
  ink: '#ece9e2',
  soft: '#aeb2b5',
  line: '#3a3e42',
  bad: '#ff9a8d',
  product: '#7fd1a3',
  conv: '#8db8ff',
  attention: '#f2a65e',
  norm: '#e29be6',
  other: '#aeb2b5',
  engines: ['#9bd3b2', '#868c92', '#9c8f6c', '#6d87a6'],
};

function colours(theme: typeof LIGHT): string {
  const { engines, ...named } = theme;
  const all = [...Object.entries(named), ...engines.map((value, i) => [`engine-${i}`, value])];
  return `.chart{${all.map(([name, value]) => `--chart-${name}:${value}`).join(';')}}`;
}

/**
 * The style sheet of every chart, of the class `chart`. A file has it within; a page takes it over once, as its policy has no styles within
 * documents.
 */
export const CHART_STYLE: string = [
  colours(LIGHT),
  `@media (prefers-color-scheme:dark){${colours(DARK)}}`,
  ".chart{font-family:system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:12px}",
  '.chart text{fill:var(--chart-ink);font-variant-numeric:tabular-nums}',
  ".chart .title{font-family:'Iowan Old Style','Palatino Linotype',Palatino,Georgia,serif;font-size:19px}",
  '.chart .soft{fill:var(--chart-soft)}',
  '.chart .small{font-size:11px}',
  '.chart .strong{font-weight:600}',
  '.chart .bad{fill:var(--chart-bad)}',
  '.chart .paper{fill:var(--chart-paper)}',
  '.chart .track{fill:var(--chart-line)}',
  '.chart .grid{stroke:var(--chart-line);stroke-width:1}',
  '.chart .axis{stroke:var(--chart-soft);stroke-width:1}',
  '.chart .roof{stroke:var(--chart-ink);stroke-width:2;fill:none;stroke-linejoin:round}',
  '.chart .lead{stroke:var(--chart-soft);stroke-width:0.75;fill:none}',
  '.chart .gap{stroke-width:1;opacity:0.45}',
  '.chart .mark{stroke:var(--chart-paper);stroke-width:1.25}',
  '.chart .hollow{fill:var(--chart-paper);stroke-width:1.5}',
  ...['product', 'conv', 'attention', 'norm', 'other'].flatMap(name => [
    `.chart .mark.${name}{fill:var(--chart-${name})}`,
    `.chart .hollow.${name},.chart .gap.${name}{stroke:var(--chart-${name})}`,
  ]),
  ...[0, 1, 2, 3].map(i => `.chart .${engineClass(i)}{fill:var(--chart-${engineClass(i)})}`),
  '.chart .halo{paint-order:stroke;stroke:var(--chart-paper);stroke-width:3px;stroke-linejoin:round}',
].join('\n');
