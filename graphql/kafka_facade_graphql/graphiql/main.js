// The GraphiQL page. Bundled by build.js; where no bundle is there, the page loads it as it stands, with an import map.
import "monaco-workers";

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

const DEFAULT_QUERY = `# Ctrl-Enter runs the operation under the cursor.
query Cluster {
  clusters {
    clusterId
    controller { brokerId host port }
    brokers { brokerId rack }
    topics(first: 10) {
      totalCount
      nodes {
        topicName
        replicationFactor
        partitions {
          partitionId
          leader { broker { host port } }
          replicas { brokerId isInSync }
          offsets { earliestOffset latestOffset }
        }
        config(name: "cleanup.policy") { value source }
      }
    }
  }
}

# mutation Produce($clusterId: ID!) {
#   produceRecords(input: {
#     clusterId: $clusterId
#     topicName: "orders"
#     records: [{ key: { format: STRING, data: "k" }, value: { format: JSON, data: { total: 12 } } }]
#   }) {
#     results { report { partitionId offset } error { code message } }
#   }
# }

# subscription Follow {
#   records(topicName: "orders", from: EARLIEST) {
#     partitionId
#     offset
#     timestamp
#     key { text }
#     value { json }
#   }
# }
`;

const endpoint = new URL(location.pathname, location.href);
const sockets = new URL(endpoint);
sockets.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  wsClient: createClient({ url: sockets.href }),
});

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, { fetcher, defaultQuery: DEFAULT_QUERY, defaultEditorToolsVisibility: true }),
);
