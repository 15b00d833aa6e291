import type { Graph, Node, Value } from './graph.ts';

/**
 * Rewrites a recording: drops nodes whose results nobody reads, and, when asked, lets producers absorb their only consumer
 * (an activation, a residual, a time embedding) and consumers swallow their only producer (an upsampling).
 *
 * @returns the nodes to lower, in an order in which every input is written before it is read
 */
export function rewrite(graph: Graph, fuse: boolean): Node[] {
  let nodes = live(graph.nodes, graph);
  if (!fuse) return nodes;
  const stored = new Set<Value>(graph.stores.map(s => s.tensor.value));
  for (let next = fusePass(nodes, stored); next; next = fusePass(nodes, stored)) nodes = live(next, graph);
  return nodes;
}

/** Nodes that a store or an effect depends on, in recorded order. */
function live(nodes: readonly Node[], graph: Graph): Node[] {
  const wanted = new Set<Value>(graph.stores.map(s => s.tensor.value));
  const kept: Node[] = [];
  for (const node of nodes.toReversed()) {
    if (node.output && !wanted.has(node.output.value)) continue;
    for (const input of node.inputs()) wanted.add(input.value);
    kept.push(node);
  }
  return kept.reverse();
}

/** Merges neighbouring nodes once each; undefined when nothing was left to merge. */
function fusePass(nodes: readonly Node[], stored: ReadonlySet<Value>): Node[] | undefined {
  const uses = usesOf(nodes);
  const merged: (Node | undefined)[] = [...nodes];
  const touched = new Set<Node>();
  for (const [at, node] of nodes.entries()) {
    const value = node.output?.value;
    if (!value || touched.has(node) || stored.has(value)) continue;
    const consumers = uses.get(value) ?? [];
    const to = consumers[0];
    const consumer = to === undefined ? undefined : nodes[to];
    if (to === undefined || !consumer || consumers.length !== 1 || touched.has(consumer)) continue;
    if (!readsWhole(consumer, value)) continue;
    if (nodes.slice(at + 1, to).some(n => !n.output)) continue; // an effect between could change an input
    if (node.absorb?.(consumer)) merged[to] = node;
    else if (!consumer.swallow?.(node)) continue;
    merged[at] = undefined;
    touched.add(node).add(consumer);
  }
  return touched.size === 0 ? undefined : merged.filter(n => n !== undefined);
}

/** Whether a node reads all rows of a value: the producer of a view writes more than the view's consumer would. */
function readsWhole(node: Node, value: Value): boolean {
  const views = node.inputs().filter(t => t.value === value);
  return views.every(t => t.rowOffset === 0 && t.rows === value.layout.rows);
}

/** Indices of the nodes that read each value. */
function usesOf(nodes: readonly Node[]): Map<Value, number[]> {
  const uses = new Map<Value, number[]>();
  nodes.forEach((node, i) => {
    for (const value of new Set(node.inputs().map(t => t.value))) uses.set(value, [...(uses.get(value) ?? []), i]);
  });
  return uses;
}
