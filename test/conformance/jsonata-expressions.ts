/**
 * Expressions that the compiler must give the results of the jsonata package for, one a line, beside those of
 * test/data/jsonata. They go through what is easy to get wrong: sequences, scopes, tail calls, functions as values.
 */
export const EXPRESSIONS = String.raw`
a ?? "none"
missing ?? "none"
Account.Missing ?: "default"
"" ?: "default"
0 ?: 5
($f := function($n, $acc) { $n <= 1 ? $acc : $f($n - 1, $n * $acc) }; $f(20, 1))
($f := function($n) { $n = 0 ? "done" : $f($n - 1) }; $f(3000))
($even := function($n) { $n = 0 ? true : $odd($n - 1) }; $odd := function($n) { $n = 0 ? false : $even($n - 1) }; $even(999))
($f := function($n) { $f($n + 1) }; $g := 1; $g)
($x := 1; ($y := $x; $x := 2; $y + $x))
($x := 1; ($x := 2); $x)
($x := 1; $f := function() { $x }; $x := 5; $f())
($f := function($x) { ($x := $x + 1; $x) }; $f(1) & $f(2))
($f := function($x)<n:n> { $x + 1 }; $f("a"))
($f := function($x)<n-:n> { $x + 1 }; 5.$f())
($f := function($x)<s-:s> { $x & "!" }; "abc".$f())
($f := function($x, $y)<n?n:n> { $y }; $f(1))
(function($x) { $x * 2 })(21)
[1..5].($ * $)
[1..5][$ > 2]
[1..5][-1]
[1..5][[0,2]]
[1..5][[0..1]]
[1..3].{"n": $}
[1..3].[$, $ + 1]
[1..3].[$]
[[1,2],[3]].$
[[1,2],[3]][0]
[[1,2],[3]][0][1]
[1] . $
[1]
[[1]]
[[]]
[].a
[1,[2,[3]]].$
{"a": [1,2,3]}.a[1]
{"a": [{"b": 1}, {"b": 2}]}.a[b=2]
{"a": [{"b": 1}, {"b": 2}]}.a[b=2].b[]
{"a": [{"b": 1}]}.a.b[]
{"a": {"b": 1}}.a.b[]
{"a": {"b": [1]}}.a.b
{"a": {"b": [1]}}.a.b[]
{"a": [{"b": [1]}]}.a.b
{"a": [{"b": [1]}, {"b": [2]}]}.a.b
{"a": [{"b": [1]}, {"b": [2]}]}.a.b[0]
{"a": [{"b": [1]}, {"b": [2]}]}.(a.b)[0]
{"a": 1, "a": 2}
{"a" & "b": 1}
{5: 1}
[{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}]{k: v}
[{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}]{k: $sum(v)}
[{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}].{"q": k}
[{"k": "x", "v": 1}, {"k": "y", "v": 2}]{"all": v, k: v}
[{"k": "x"}, {"k": "y"}]{"a": k, "b": $count(k)}
[{"v": 3}, {"v": 1}, {"v": 2}]^(v)
[{"v": 3}, {"v": 1}, {"v": 2}]^(>v)
[{"v": 3, "w": 1}, {"v": 1, "w": 2}, {"v": 3, "w": 0}]^(>v, <w).w
[{"v": 3}, {"w": 1}, {"v": 2}]^(v)
[{"v": 3}, {"v": "a"}]^(v)
[{"v": 3}, {"v": true}]^(v)
[{"v": 3}, {"v": 1}]^(v)[0]
[{"v": 3}, {"v": 1}]^(v).v[0]
$map([1,2,3], function($v, $i, $a) { $v + $i + $count($a) })
$map([1,2,3], $string)
$map([1], function($v) { $v })
$map([1], function($v) { $v })[]
$map([], function($v) { $v })
$filter([1,2,3], function($v) { $v > 1 })
$filter([1,2,3], function($v, $i) { $i = 0 })
$reduce([1,2,3], function($a, $b) { $a + $b })
$reduce([1,2,3], function($a, $b) { $a + $b }, 10)
$reduce([], function($a, $b) { $a + $b })
$reduce([1], function($a) { $a })
$reduce([1,2,3], function($a, $b, $i, $s) { $a + $b + $i + $count($s) })
$single([1,2,3], function($v) { $v = 2 })
$single([1,2,3], function($v) { $v > 1 })
$single([1,2,3], function($v) { $v > 5 })
$each({"a": 1, "b": 2}, function($v, $k) { $k & $v })
$sift({"a": 1, "b": 2}, function($v) { $v > 1 })
$sift({"a": 1, "b": 2}, function($v) { $v > 2 })
$sort([3,1,2])
$sort(["b","a"])
$sort([1,"a"])
$sort([{"a":2},{"a":1}], function($l, $r) { $l.a > $r.a })
$keys({"a": 1, "b": 2})
$keys([{"a": 1}, {"b": 2, "a": 3}])
$keys({"a": 1})
$keys(5)
$lookup({"a": 1}, "a")
$lookup([{"a": 1}, {"a": 2}], "a")
$append([1,2], 3)
$append(1, 2)
$append(missing, 2)
$spread({"a": 1, "b": 2})
$spread([{"a": 1}, {"b": 2}])
$merge([{"a": 1}, {"b": 2}, {"a": 3}])
$distinct([1,2,1,"1",{"a":1},{"a":1}])
$distinct([1,1])
$distinct({"a": [{"b": 1}, {"b": 1}]}.a.b)
$reverse([1,2,3])
$zip([1,2],[3,4,5])
$count(missing)
$count([1,[2,3]])
$sum([1,"a"])
$sum(5)
$average([1,2,3])
$max([1,5,3])
$min([])
$string({"a": [1, 2.5, null, true]})
$string(0.1 + 0.2)
$string(1/3)
$string({"a": 1}, true)
$string($sum)
$string(function($x) { $x })
$number("12.50")
$number("0x1f")
$number("abc")
$number("")
$number(true)
$substring("hello", 1, 3)
$substring("hello", -3)
$substring("hello", -10, 2)
$substring("hello", 1, 0)
$substring("héllo😀x", 5, 1)
$substring("hello", 1.5)
$substringBefore("a=b", "=")
$substringAfter("a=b", "=")
$substringAfter("ab", "=")
$uppercase("abc")
$lowercase(5)
$length("a😀b")
$trim("  a  b ")
$pad("x", 5)
$pad("x", -5, "#")
$contains("abc", "b")
$contains("abc", /B/i)
$match("abcabc", /a(b)(c)/)
$match("abcabc", /a/, 1)
$match("ab", /x/)
$replace("abc", "b", "X")
$replace("abcabc", /b(c)/, "<$1$0$$>")
$replace("abcabc", /b/, function($m) { $uppercase($m.match) })
$replace("abcabc", /b/, function($m) { 5 })
$replace("abc", "", "x")
$replace("aaa", "a", "b", 2)
$replace("aaa", "a", "b", -1)
$split("a,b,c", ",")
$split("a,b,c", ",", 2)
$split("a1b2c", /\d/)
$split("a1b2c", /\d/, 2)
$split("abc", "")
$split("a", /x/)
$join(["a","b"], "-")
$join(["a",1], "-")
$join("a")
$formatNumber(1234.5, "#,##0.00")
$formatNumber(0.14, "01%")
$formatBase(255, 16)
$formatInteger(1999, "I")
$formatInteger(12, "w")
$parseInteger("twelve", "w")
$round(2.5)
$round(1.255, 2)
$abs(-5)
$floor(1.7)
$ceil(1.2)
$sqrt(16)
$sqrt(-1)
$power(2, 10)
$power(1e300, 2)
$boolean([0, ""])
$boolean([0, 1])
$boolean({})
$not(missing)
$exists(missing)
$type(null)
$type([1])
$type(missing)
$base64encode("abc")
$base64decode("YWJj")
$encodeUrlComponent("?x=a b")
$decodeUrl("%zz")
$toMillis("2020-01-01T00:00:00Z")
$fromMillis(0)
$fromMillis(1510067557121, "[M01]/[D01]/[Y0001] [h#1]:[m01][P]")
$toMillis("13/09/2024", "[D01]/[M01]/[Y0001]")
$clone({"a": {"b": 1}})
$error("oops")
$assert(false, "no")
$assert(true)
$eval("1 + 2")
$now() = $now()
$millis() > 0
1 + "a"
"a" + 1
-"a"
-missing
1 / 0
(1 / 0) + 1
1 % 3
5 - missing
1 < "a"
true < false
1 < missing
"a" < "b"
null = null
[1,2] = [1,2]
{"a": 1, "b": 2} = {"b": 2, "a": 1}
1 != missing
1 in [1,2]
"x" in "x"
missing in [1]
true and missing
1 and "a"
false or 0
"a" & 1 & true & null & [1]
1..3
[1.5..3]
["a".."b"]
[3..1]
[1..20000000]
[0..2, 5, missing, [6..7]]
missing.foo.bar
$.foo
$$
$
null.a
"abc".length
"abc".$length()
{"a": 1}.*
{"a": {"b": [1, {"c": 2}]}}.**
{"a": {"b": [1, {"c": 2}]}}.**.c
{"a": {"b": 1}, "c": {"b": 2}}.*.b
{"a": [[1, 2], [3]]}.*
{"a": 1} ~> $keys()
{"a": 1} ~> $keys
5 ~> function($x) { $x + 1 }
"a,b" ~> $split(",") ~> $join("-")
($u := $uppercase ~> $trim; $u(" abc "))
5 ~> 5
($first := $substring(?, 0, 1); $first("hello"))
($add := function($a, $b) { $a + $b }; $inc := $add(1, ?); $inc(5))
($f := $map(?, function($v) { $v * 2 }); $f([1,2]))
(5)(?)
sum([1])
sum(?, 1)
foo([1])
$foo(1)
$ ~> |Account|{"x": 1}|
{"a": {"b": 1, "c": 2}} ~> |a|{"d": b + c}, ["b"]|
{"a": [{"b": 1}, {"b": 2}]} ~> |a|{"b": b * 10}|
{"a": 1} ~> |$|5|
{"a": 1} ~> |$|{}, 5|
5 ~> |$|{}|
{"constructor": 1}.constructor
{"a": 1}.constructor
{"a": 1}.toString
{"toString": 5}.toString
{"hasOwnProperty": 1}.hasOwnProperty.b
(1; 2; 3)
()
true ? 1 : 2
false ? 1
missing ? 1 : 2
($x := missing; $x ? 1 : 2)
$x
$x.y
($a := [1,2,3]; $a[1])
($a := [{"b": 1}, {"b": 2}]; $a.b)
($a := [{"b": 1}, {"b": 2}]; $a[b = 2].b)
($a := {"b": [{"c": 1}, {"c": 2}]}; $a.b.c)
($a := {"b": [{"c": 1}, {"c": 2}]}; $a.b.{"d": c})
Account.Order[0].Product[0].Price
Account.Order[-1].Product[-1]
Account.Order.Product[0]
(Account.Order.Product)[0]
Account.Order.Product.Description.Colour
$sum(Account.Order.Product.(Price * Quantity))
Account.Order.{"id": OrderID, "lines": Product.{"sku": SKU, "net": Price * Quantity}}
Account.Order.[OrderID, Product.SKU]
Account.(Order.Product.SKU)
Account.Order.Product.SKU[]
Account.Order[0].Product[0].SKU[]
Account.Order.Product.Description.*
Account.**.Colour
Account.Order.Product#$i[$i < 2].SKU
Account.Order@$o.Product.{"o": $o.OrderID, "s": SKU}
Account.Order.Product.{"sku": SKU, "order": %.OrderID}
Account.Order.Product[%.OrderID = "order103"].SKU
Account.Order#$i.{"n": $i, "id": OrderID}
$map(Account.Order, function($o, $i) { {"i": $i, "id": $o.OrderID} })
Account.Order.Product.$uppercase(SKU)
Account.Order.Product.(Price > 30 ? "dear" : "cheap")
Account.Order ~> $map(function($o) { $o.OrderID }) ~> $join(",")
Phone[type = "office"].number
Phone.number[0]
Phone[0].number
Phone[type="mobile"]
Email.address[0]
Other.Misc
Other.**
Address.*
FirstName & " " & Surname
library.books[price > 30].title
library.loans.(isbn in ["9780262510875"])
library.books^(title).title
library.books.authors[0]
library.books.{title: price}
library.books{title: price}
foo.blah.baz.fud
foo.blah[0].baz
foo.*[0]
(foo.blah)[0]
foo.blah.baz[fud = "hello"]
"foo".bar
$$.foo.bar
$$[0]
$[0]
$[-1]
[0]
$.$
a.b
a[0]
a[0].b
a.b[0]
(a.b)[0]
a[b]
a[b = 1]
a[c].c.b
a{b: 1}
a.{"x": b}
a.[b]
*
**
*.b
$.*
$count(a)
$string(a)
$keys(a)
[a.b, a.c]
{"x": a.b, "y": [a.c]}
[1..10000].($ + 1) ~> $sum()
$sum($map([1..1000], function($i) { $i % 7 }))
($fib := function($n) { $n < 2 ? $n : $fib($n - 1) + $fib($n - 2) }; $fib(12))
Account.Order.Product#$i[$i < 2].SKU
Account.Order.Product#$i[Price > 30].{"i": $i, "s": SKU}
Account.Order.Product[Price > 30]#$i.{"i": $i, "s": SKU}
Account.Order@$o.Product.{"o": $o.OrderID, "s": SKU}
Account.Order@$o.Account.Order@$p[$o.OrderID = $p.OrderID].($o.OrderID & $p.OrderID)
Account.Order@$o#$i.Product@$p#$j.{"i": $i, "j": $j, "o": $o.OrderID, "p": $p.SKU}
Account.Order.Product.{"sku": SKU, "order": %.OrderID}
Account.Order.Product[%.OrderID = "order103"].SKU
Account.Order.Product.%.OrderID
Account.Order.Product.Description.%.SKU
Account.Order.Product.Description.Colour.%.%.SKU
Account.Order.Product.Price.%[%.OrderID = 'order103'].SKU
Account.Order.(Product).{"p": SKU, "o": %.OrderID}
Account.(Order.Product).{"p": SKU, "o": %.OrderID}
Account.Order.Product ^(%.OrderID, Price).SKU
Account.Order#$i.{"n": $i, "id": OrderID}
Account.Order#$i[1].{"n": $i, "id": OrderID}
Account.Order[0]#$i.{"n": $i, "id": OrderID}
Account.Order^(>OrderID)#$i.{"n": $i, "id": OrderID}
Account.Order#$i^(>OrderID).{"n": $i, "id": OrderID}
Account.Order#$i^(>$i).{"n": $i, "id": OrderID}
Account.Order#$i[$i = 0][]
Account.Order@$o[]
Account.Order@$o.$o.OrderID
Account.Order@$o.($x := $o.OrderID; $x)
Account.Order.Product.SKU#$i.($ & $i)
$#$i
$#$i.a
$$#$i
[1,2,3]#$i[$i > 0]
[1,2,3]#$i.($ + $i)
[1,2,3]@$x.($x * 2)
(Account.Order)#$i.{"i": $i}
($o := Account.Order; $o#$i.{"i": $i, "id": OrderID})
($o := Account.Order; $o@$p.$p.OrderID)
library.loans@$L.books@$B[$L.isbn=$B.isbn].{"title": $B.title, "customer": $L.customer}
library.loans@$L.library.books@$B[$L.isbn=$B.isbn].{"title": $B.title, "customer": $L.customer}
library.loans@$l.books@$b[$l.isbn=$b.isbn].customers[$l.customer=id].{"customer": name, "book": $b.title, "due": $l.return}
library.books#$i.{"i": $i, "t": title, "a": authors#$j.($ & $j)}
library.books@$b#$ib.loans@$l#$il[$b.isbn=$l.isbn].{"b": $ib, "l": $il}
library.books#$pos[$ = $].title
library.books.authors.%.title
library.books.authors#$i.{"a": $, "i": $i, "t": %.title}
foo.blah.%.bar
foo.blah.baz.%.%.bar
foo.blah.baz.fud.%.%.%.bar
foo.*.%.bar
foo.blah[%.bar = 42].baz
foo.blah@$b.{"b": $b.baz, "bar": bar}
foo.blah#$i[0]
foo.blah#$i[[0,1]]
foo.blah#$i[-1].($i)
a.b.%.c
a@$x.b@$y.[$x, $y]
a#$i.b#$j.[$i, $j]
a.b[%.c]
a.{"p": %.a}
a.b.{"p": %}
Account.Order.Product{SKU: %.OrderID}
Account.Order@$o.Product{$o.OrderID: SKU}
Phone#$i.{"n": number, "i": $i}
Phone[type="mobile"]#$i.{"n": number, "i": $i}
Phone.number.%.type
$map(Account.Order#$i, function($o) { $o.OrderID })
$count(Account.Order.Product#$i)
$sum(Account.Order.Product#$i.(Price * $i))
Account.Order.Product.(Price > 30 ? %.OrderID : SKU)
Account.Order.Product.($f := function($x) { $x & %.OrderID }; $f(SKU))
Account.Order.Product.$uppercase(%.OrderID)
`
  .trim()
  .split('\n')

/** Those with names in back quotes. */
export const QUOTED_EXPRESSIONS = [
  'Account.Order.Product.{"name": `Product Name`, "total": Price * Quantity}',
  'Account.Order.Product[Price > 30].`Product Name`',
  'Account.Order.Product^(>Price).`Product Name`',
  'Account.Order.Product{`Product Name`: $sum($.(Price * Quantity))}',
  'Account.`Account Name`[]',
  'Account.Order.Product.(`Product Name` & ": " & $string(Price))',
  '`foo`."bar"',
  'Account.Order.Product.{"sku": SKU, "acc": %.%.`Account Name`}',
  'Account.Order.Product ^(>%.OrderID, >Price).{"n": `Product Name`, "o": %.OrderID}',
]
