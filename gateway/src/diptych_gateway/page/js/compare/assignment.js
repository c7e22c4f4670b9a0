/** One-to-one assignment with the greatest summed weight, exactly: as the gateway does it. */

/**
 * @typedef {{row: number, column: number, weight: number}} Edge a pair that is allowed, with a weight above 0
 */

/**
 * Groups of rows and columns that no pair connects are solved one by one, so that many small ones cost little.
 *
 * @param {Edge[]} edges
 * @returns {Edge[]} each row and column at most once, by row
 */
export function assign(edges) {
  return groupsOf(edges).flatMap(solve).toSorted((one, other) => one.row - other.row);
}

/** @param {Edge[]} edges @returns {Edge[][]} those that rows and columns connect */
function groupsOf(edges) {
  const parents = new Map();
  const root = (key) => {
    const parent = parents.get(key) ?? key;
    if (parent === key) return key;
    const top = root(parent);
    parents.set(key, top);
    return top;
  };
  const [rowKey, columnKey] = [(edge) => 2 * edge.row, (edge) => 2 * edge.column + 1];
  for (const edge of edges) parents.set(root(rowKey(edge)), root(columnKey(edge)));
  return [...Map.groupBy(edges, (edge) => root(rowKey(edge))).values()];
}

/** @param {Edge[]} edges of one group */
function solve(edges) {
  if (edges.length === 1) return edges;
  const order = (key) => [...new Set(edges.map((edge) => edge[key]))].toSorted((a, b) => a - b);
  let [across, down] = ["row", "column"];
  if (order(across).length > order(down).length) [across, down] = [down, across];
  const [rows, columns] = [order(across), order(down)];
  const costs = rows.map(() => new Float64Array(columns.length));
  for (const edge of edges) costs[rows.indexOf(edge[across])][columns.indexOf(edge[down])] = -edge.weight;
  const chosen = shortestPaths(costs, columns.length);
  return edges.filter((edge) => chosen[columns.indexOf(edge[down])] === rows.indexOf(edge[across]));
}

/**
 * Successive shortest augmenting paths with potentials (Jonker and Volgenant, 1987).
 *
 * @param {Float64Array[]} costs
 * @param {number} m columns, no fewer than rows
 * @returns {number[]} the row of each column, -1 for none
 */
function shortestPaths(costs, m) {
  const rowOf = Array(m + 1).fill(-1); // the extra column stands for the row being placed
  const [rowPotential, columnPotential] = [new Float64Array(costs.length), new Float64Array(m + 1)];
  for (let row = 0; row < costs.length; row += 1) {
    const distance = new Float64Array(m).fill(Infinity);
    const previous = Array(m).fill(m);
    const done = Array(m + 1).fill(false);
    let column = m;
    for (rowOf[m] = row; rowOf[column] >= 0; ) {
      done[column] = true;
      const current = rowOf[column];
      let nearest = -1;
      for (let at = 0; at < m; at += 1) {
        if (done[at]) continue;
        const reduced = costs[current][at] - rowPotential[current] - columnPotential[at];
        if (reduced < distance[at]) [distance[at], previous[at]] = [reduced, column];
        if (nearest < 0 || distance[at] < distance[nearest]) nearest = at;
      }
      const step = distance[nearest];
      for (let at = 0; at <= m; at += 1) {
        if (done[at]) {
          rowPotential[rowOf[at]] += step;
          columnPotential[at] -= step;
        } else distance[at] -= step;
      }
      column = nearest;
    }
    while (column !== m) {
      rowOf[column] = rowOf[previous[column]];
      column = previous[column];
    }
  }
  return rowOf.slice(0, m);
}
