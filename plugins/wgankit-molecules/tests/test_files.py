import gzip
from pathlib import Path

import pytest
from rdkit import Chem, RDConfig

from wgankit.errors import DataError
from wgankit_molecules.data import qm9_10k
from wgankit_molecules.files import read_molecules, write_molecules

SMILES = qm9_10k()[:40]


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("form", [".smi", ".smiles", ".txt", ".csv", ".tsv", ".sdf"])
def test_what_is_written_is_read(tmp_path, form, packed):
    path = tmp_path / f"molecules{form}{packed}"
    assert not write_molecules(SMILES, path)
    reading = read_molecules(path)
    assert reading.objects == SMILES
    assert not reading.skipped
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == bool(packed)


def test_lists_keep_what_is_no_molecule_and_sdf_counts_it(tmp_path):
    given = ["CCO", "C(C)(C)(C)(C)C", Chem.MolFromSmiles("CN")]
    assert not write_molecules(given, tmp_path / "a.smi")
    assert read_molecules(tmp_path / "a.smi").objects == ["CCO", "C(C)(C)(C)(C)C", "CN"]
    assert write_molecules(given, tmp_path / "a.sdf") == {"not a molecule": 1}
    assert read_molecules(tmp_path / "a.sdf").objects == ["CCO", "CN"]


@pytest.mark.parametrize(
    "text",
    [
        "CCO\nCN\n",
        "CCO ethanol\nCN\tmethyl amine\n",
        "smiles name\r\nCCO a\r\n\r\nCN b\r\n",
        "\ufeffSMILES\nCCO\nCN",
    ],
)
def test_lists_may_have_names_headings_and_blank_lines(tmp_path, text):
    (tmp_path / "a.smi").write_text(text, encoding="utf-8", newline="")
    reading = read_molecules(tmp_path / "a.smi")
    assert reading.objects == ["CCO", "CN"]
    assert not reading.skipped


def test_comment_lines_are_counted(tmp_path):
    (tmp_path / "a.smi").write_text("# mine\nCCO\n#CN\n")
    reading = read_molecules(tmp_path / "a.smi")
    assert reading.objects == ["CCO"]
    assert reading.skipped == {"comment line": 2}


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.csv", "id,SMILES\n1,CCO\n2,CN\n"),
        ("a.csv", "smiles\nCCO\nCN\n"),
        ("a.csv", 'id,canonical_smiles,note\n1,CCO,"a, b"\n2,CN,"two\nlines"\n'),
        ("a.csv", "id;smiles\n1;CCO\n2;CN\n"),
        ("a.tsv", "smiles\tselfies_from_smiles\nCCO\tx\nCN\ty\n"),
        ("a.csv", "\ufeffsmiles,y\nCCO,1\n\nCN,2\n"),
    ],
)
def test_tables_find_their_column(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_molecules(tmp_path / name).objects == ["CCO", "CN"]


def test_a_column_can_be_chosen_and_empty_cells_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("smiles,product\nCC,CCO\nCC,\nCC,CN\n")
    reading = read_molecules(path, column="product")
    assert reading.objects == ["CCO", "CN"]
    assert reading.skipped == {"empty cell": 1}


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", b"id,structure\n1,CC\n", r"columns are 'id', 'structure'.*column='id'"),
        ("a.csv", b"a_smiles,b_smiles\nC,C\n", "has 2 columns that may hold SMILES.*'a_smiles'"),
        ("a.csv", b"id,smiles\n1,CC\n2;CC\n", "line 3: 1 fields separated by ','"),
        ("a.csv", b"id,smiles\n1,CC\n2,CC,CC\n", "line 3: 3 fields"),
        ("a.csv", b"smiles\n", "holds no molecule"),
        ("a.smi", b"", "is empty"),
        ("a.smi", b" \n\n", "is empty"),
        ("a.smi", b"#only\n", "holds no molecule.*comment line"),
        ("a.smi", b"CC\0CC", "binary file"),
        ("a.smi", b"CC\nC\xff", "line 2 holds the byte 0xff"),
        ("a.smi.gz", b"not gzipped", "cannot read"),
        ("a.smi.gz", gzip.compress(b"CCO\n" * 99, mtime=0)[:-9], "cannot read"),
        ("a.sdf", b"nothing of the kind\n", "holds no molecule.*unreadable SDF record"),
        ("a.pdf", b"CC", "ends in none of .smi"),
    ],
)
def test_unusable_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_molecules(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_column_that_was_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text("id,smiles\n1,CC\n")
    with pytest.raises(DataError, match="no column 'product'; its columns are 'id', 'smiles'"):
        read_molecules(tmp_path / "a.csv", column="product")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_molecules(tmp_path / "none.smi")
    (tmp_path / "folder.smi").mkdir()
    with pytest.raises(DataError, match="cannot read"):
        read_molecules(tmp_path / "folder.smi")
    with pytest.raises(DataError, match="cannot write"):
        write_molecules(["CC"], tmp_path / "no" / "such" / "folder.smi")


def test_unreadable_sdf_records_are_counted(tmp_path):
    path = tmp_path / "a.sdf"
    write_molecules(["CCO", "CN", "CCF"], path)
    records = path.read_text().split("$$$$\n")
    records[1] = records[1].replace(" N ", " Qq")
    path.write_text("$$$$\n".join(records))
    reading = read_molecules(path)
    assert reading.objects == ["CCO", "CCF"]
    assert reading.skipped == {"unreadable SDF record": 1}


def test_a_foreign_sdf_reads_as_rdkit_reads_it():
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_200.props.sdf"
    if not path.is_file():
        pytest.skip("this rdkit ships no such file")
    mols = list(Chem.SDMolSupplier(str(path)))
    reading = read_molecules(path)
    assert reading.objects == [Chem.MolToSmiles(mol) for mol in mols if mol is not None]
    assert reading.skipped.total() == mols.count(None)


@pytest.mark.parametrize(("text", "blank"), [("CCO\n\n \nCC\n", 2), ("CCO\nCC", 0), ("C\n\n", 1)])
def test_blank_lines_are_counted_where_they_are_samples(tmp_path, text, blank):
    path = tmp_path / "a.smi"
    path.write_text(text)
    reading = read_molecules(path, blanks=True)
    assert reading.skipped["blank line"] == blank
    assert reading.objects == text.split()
    assert not read_molecules(path).skipped
