"""Reading and writing graphs: round trips, the documented layout, and one clear sentence else."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgankit.errors import DataError
from wgankit_graphs.files import read_graphs, write_graphs


@st.composite
def graph_sets(draw):
    """Graphs on 0, 1, ... of which all nodes (edges) have labels of one type, or none."""
    labels = [
        draw(st.sampled_from([st.none(), st.integers(-3, 300), st.text("aé<&", min_size=1)]))
        for _ in range(2)
    ]
    graphs = []
    for _ in range(draw(st.integers(1, 4))):
        graph = nx.gnp_random_graph(
            draw(st.integers(0, 6)), draw(st.floats(0, 1)), seed=draw(st.integers(0, 99))
        )
        for view, kinds in zip((graph.nodes, graph.edges), labels):
            for key in view:
                value = draw(kinds)
                if value is not None:
                    view[key]["label"] = value
        graphs.append(graph)
    return graphs


def integers(graph):
    return nx.relabel_nodes(graph, {node: int(node) for node in graph})


def same(a, b):
    return a.adj == b.adj and a.nodes == b.nodes


@settings(max_examples=30, deadline=None)
@given(graph_sets())
def test_npz_round_trip(tmp_path_factory, graphs):
    path = tmp_path_factory.mktemp("npz") / "some.npz"
    write_graphs(graphs, path)
    back = read_graphs(path).objects
    assert len(back) == len(graphs)
    assert all(same(a, b) for a, b in zip(back, graphs))


@settings(max_examples=20, deadline=None)
@given(graph_sets())
def test_graphml_round_trip(tmp_path_factory, graphs):
    folder = tmp_path_factory.mktemp("graphml") / "some"
    write_graphs(graphs, folder)
    write_graphs(read_graphs(folder).objects, folder.with_name("again"))
    back = read_graphs(folder.with_name("again")).objects
    assert len(back) == len(graphs)
    assert all(same(integers(a), b) for a, b in zip(back, graphs))


def test_graphml_of_networkx_and_of_several_graphs(tmp_path):
    graph = nx.karate_club_graph()
    nx.write_graphml(graph, tmp_path / "karate.graphml")
    (back,) = read_graphs(tmp_path / "karate.graphml").objects
    assert nx.utils.edges_equal(integers(back).edges, graph.edges)
    two = "\n".join(
        f'<graph edgedefault="undirected"><node id="{k}"/><node id="b"/>'
        f'<edge source="{k}" target="b"/></graph>'
        for k in "xy"
    )
    (tmp_path / "two.graphml").write_text(
        f'<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{two}</graphml>'
    )
    assert [set(g) for g in read_graphs(tmp_path / "two.graphml").objects] == [
        {"x", "b"},
        {"y", "b"},
    ]


def test_none_and_numpy_attributes_can_be_written(tmp_path):
    graph = nx.Graph()
    graph.add_node(0, label=np.int64(3), nothing=None)
    write_graphs([graph], tmp_path / "one")
    (back,) = read_graphs(tmp_path / "one").objects
    assert back.nodes["0"] == {"label": 3}
    assert graph.nodes[0]["nothing"] is None


# Edge lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".edges", ".edgelist", ".txt", ".csv"])
@pytest.mark.parametrize("mark", [",", ", ", ";", "\t", " ", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_weights_comments_and_line_ends(tmp_path, suffix, mark, end):
    path = tmp_path / f"graph{suffix}"
    lines = ["# a comment, with; all\tmarks", "", mark.join("12"), "% other", mark.join("23")]
    path.write_bytes(end.join([*lines, mark.join(["3", "1", "0.5"]), ""]).encode())
    (graph,) = read_graphs(path).objects
    assert set(graph.edges) == {(1, 2), (2, 3), (1, 3)}
    assert graph.edges[1, 3] == {"weight": 0.5}


@pytest.mark.parametrize("header", ["source,target", "id_1,id_2", "From,To"])
def test_a_header_is_no_edge(tmp_path, header):
    (tmp_path / "graph.csv").write_text(f"\ufeff{header}\n1,2\n2,3\n", encoding="utf-8")
    (graph,) = read_graphs(tmp_path / "graph.csv").objects
    assert set(graph) == {1, 2, 3}


def test_names_may_be_text(tmp_path):
    (tmp_path / "graph.txt").write_text("ann bob\nbob carl\n7 ann\n")
    (graph,) = read_graphs(tmp_path / "graph.txt").objects
    assert set(graph.edges) == {("ann", "bob"), ("bob", "carl"), ("ann", "7")}


@pytest.mark.parametrize(
    "text, message",
    [
        ("1,2\n2;3\n", "line 2: separated by semicolon, but the lines before by comma"),
        ("1 2\n2\t3\n", "line 2: separated by tab, but the lines before by blank"),
        ("1,2\n2,3;4\n", "line 2: both comma and semicolon"),
        ("1,2\n2,3 0.5\n", "line 2: both comma and blank"),
        ("1 2\n3\n", "line 2: an edge needs two columns"),
        ("1 2\n1 2 3 4\n", "line 2: an edge needs two columns"),
        ("1,2\n3,\n", "line 2: an edge needs two columns"),
        ("# x\n1 2 heavy\n", "line 2: the weight 'heavy'"),
        ("1 2 nan\n", "line 1: the weight 'nan'"),
        ("", "is empty"),
        ("# nothing\n\n", "is empty"),
        ("source,target\n", "is empty"),
    ],
)
def test_a_bad_edge_list_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "graph.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_graphs(tmp_path / "graph.csv")
    assert "\n" not in str(caught.value)
    assert "graph.csv" in str(caught.value)


# Folders ------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_order_and_counts_what_it_leaves_out(tmp_path):
    (tmp_path / "b.txt").write_text("1 2\n2 3\n")
    (tmp_path / "a.edges").write_text("1 2\n")
    (tmp_path / "c.txt").write_text("1 2\n2;3\n")
    (tmp_path / "d.graphml").write_text("no xml")
    (tmp_path / "e.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden").write_text("x")
    reading = read_graphs(tmp_path)
    assert [len(graph) for graph in reading.objects] == [2, 3]
    assert sum(reading.skipped.values()) == 3
    assert any("e.png" in reason for reason in reading.skipped)
    assert any("c.txt, line 2" in reason for reason in reading.skipped)
    assert any("d.graphml" in reason for reason in reading.skipped)


# npz ----------------------------------------------------------------------------------------------


def arrays(**more):
    return {"nodes": np.array([2, 3]), "edges": np.array([[1, 0, 2], [0, 0, 1], [1, 1, 2]]), **more}


def save(path, **content):
    np.savez(path, **content)
    return path


def test_the_documented_layout(tmp_path):
    labels = {"node_labels": np.array(list("abcde")), "edge_labels": np.array([5, 6, 7])}
    first, second = read_graphs(save(tmp_path / "x.npz", **arrays(**labels))).objects
    assert dict(first.nodes(data="label")) == {0: "a", 1: "b"}
    assert dict(second.nodes(data="label")) == {0: "c", 1: "d", 2: "e"}
    assert list(first.edges(data="label")) == [(0, 1, 6)]
    assert sorted(second.edges(data="label")) == [(0, 2, 5), (1, 2, 7)]


def test_splits_are_read_together_or_one_by_one(tmp_path):
    content = {}
    for size, split in enumerate(("test", "val", "train"), 2):
        content[f"{split}_nodes"] = np.array([size], dtype=np.int16)
        content[f"{split}_edges"] = np.array([[0, 0, 1]], dtype=np.int16)
    path = save(tmp_path / "x.npz", **content)
    assert [len(graph) for graph in read_graphs(path).objects] == [4, 3, 2]
    assert [len(graph) for graph in read_graphs(path, split="val").objects] == [3]
    with pytest.raises(DataError, match="has no split 'val'"):
        read_graphs(save(tmp_path / "y.npz", **arrays()), split="val")


@pytest.mark.parametrize(
    "content, message",
    [
        ({"edges": np.zeros((0, 3), int)}, "array 'nodes' is missing"),
        ({"train_nodes": np.array([1])}, "array 'train_edges' is missing"),
        (arrays(nodes=np.array([2.0, 3.0])), "whole numbers"),
        (arrays(edges=np.array([[0, 1]])), "whole numbers"),
        (arrays(edges=np.array([[2, 0, 1]])), "row 0 of edges"),
        (arrays(edges=np.array([[1, 0, 2], [0, 0, 2]])), "row 1 of edges"),
        (arrays(edges=np.array([[0, -1, 1]])), "row 0 of edges"),
        (arrays(nodes=np.array([2, -3]), edges=np.zeros((0, 3), int)), "negative"),
        (arrays(nodes=np.array([2, 3, -3])), "negative"),
        (arrays(node_labels=np.array([1, 2])), "each of 5 nodes"),
        (arrays(edge_labels=np.array([[1, 2, 3]])), "each of 3 edges"),
        ({"nodes": np.zeros(0, int), "edges": np.zeros((0, 3), int)}, "holds no graphs"),
    ],
)
def test_a_bad_npz_is_explained(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_graphs(save(tmp_path / "x.npz", **content))


@pytest.mark.parametrize("name", ["x.npz", "x.graphml", "x.txt"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe not this kind", b"PK\x03\x04"])
def test_damaged_files_are_one_clear_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_graphs(tmp_path / name)


def test_an_array_file_under_a_wrong_name(tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"x\.npz"):
        read_graphs(tmp_path / "x.npz")


def test_what_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(DataError, match="there is no file or folder"):
        read_graphs(tmp_path / "missing")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="of no kind that can be read"):
        read_graphs(tmp_path / "x.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="it is empty"):
        read_graphs(tmp_path / "empty")
    with pytest.raises(DataError, match="has no splits"):
        read_graphs(tmp_path / "empty", split="train")
    with pytest.raises(DataError, match=r"holds no graph.*files of another kind"):
        read_graphs(tmp_path)


# Writing ------------------------------------------------------------------------------------------


def labelled(*labels):
    graph = nx.empty_graph(len(labels))
    nx.set_node_attributes(graph, dict(enumerate(labels)), "label")
    return graph


@pytest.mark.parametrize(
    "graphs, name, message",
    [
        ([], "x.npz", "no graphs"),
        ([nx.path_graph(2)], "x.smi", "try 'x.npz'"),
        ([nx.DiGraph([(0, 1)])], "x.npz", "graph 0 is directed"),
        ([nx.MultiGraph([(0, 1)])], "x.npz", "multigraph"),
        ([labelled(1, "a")], "x.npz", "one type"),
        ([labelled(1, None)], "x.npz", "one type"),
        ([labelled(2**70)], "x.npz", "64 bits"),
        ([labelled([1])], "folder", "cannot write"),
    ],
)
def test_what_cannot_be_written_says_so(tmp_path, graphs, name, message):
    with pytest.raises(DataError, match=message):
        write_graphs(graphs, tmp_path / name)
    assert not list(tmp_path.glob("*.npz"))


def test_a_folder_of_graphs_is_never_mixed_with_another(tmp_path):
    write_graphs([nx.path_graph(2)], tmp_path / "folder")
    with pytest.raises(DataError, match="new folder"):
        write_graphs([nx.path_graph(2)], tmp_path / "folder")
